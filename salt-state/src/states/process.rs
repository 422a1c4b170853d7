//! `process.absent`: what shall not run.

use std::path::{Path, PathBuf};

use salt_proto::Value;

use crate::args::Args;
use crate::functions::status::processes;
use crate::plan::{Changes, Done, Plan};
use crate::registry::{CallError, Registry};
use crate::states::Check;
use crate::system::Observe;

type Answer = Result<Plan, CallError>;

/// What a process gets when nothing else is stated.
const TERM: i64 = 15;

pub(super) fn register(registry: &mut Registry) {
    registry.add_state(
        "process.absent",
        "absent(name, user=None, signal=None)",
        "Makes sure that nothing runs that has a text in its command line.",
        absent,
    );
}

/// The processes with a text in their command line, of one user or of all.
fn matching(machine: &dyn Observe, name: &str, user: Option<&str>) -> Vec<u32> {
    let uid = user.map(|user| machine.user(user).ok().flatten().map(|user| user.uid));
    let owned = |pid: u32| match uid {
        None => true,
        Some(uid) => {
            let path: PathBuf = Path::new("/proc").join(pid.to_string());
            let found = machine.metadata(&path).ok().flatten();
            uid.is_some() && found.map(|found| found.uid) == uid
        }
    };
    processes(machine, name)
        .into_iter()
        .filter_map(|pid| pid.parse().ok())
        .filter(|pid| owned(*pid))
        .collect()
}

fn absent(args: &Args, check: &Check<'_>) -> Answer {
    let name = args.text("name")?;
    let user = args.optional_text("user");
    let found = matching(check.system, &name, user.as_deref());
    if found.is_empty() {
        // Salt does not say that all is well before it has looked for real.
        return Ok(Plan::unchanged("No matching processes running").test_result(None));
    }
    let signal = args.optional_int("signal")?.unwrap_or(TERM);
    let signal = i32::try_from(signal)
        .map_err(|_| CallError::invocation(format!("{signal} is no signal")))?;
    let would = format!("{} processes will be killed", found.len());
    let list = |pids: &[u32]| -> Value { pids.iter().map(|pid| i64::from(*pid)).collect() };
    Ok(Plan::change(
        format!("Killed {} processes", found.len()),
        Changes::of("killed", list(&found)),
        move |context| {
            let killed: Vec<u32> = found
                .into_iter()
                .filter(|pid| context.system.signal(*pid, signal).is_ok())
                .collect();
            if killed.is_empty() {
                return Ok(
                    Done::with_comment("No matching processes running").changes(Changes::none())
                );
            }
            let pids: Value = killed.iter().map(|pid| i64::from(*pid)).collect();
            Ok(
                Done::with_comment(format!("Killed {} processes", killed.len()))
                    .changes(Changes::of("killed", pids)),
            )
        },
    )
    .when_testing(would)
    .test_changes(Changes::none()))
}
