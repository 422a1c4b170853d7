//! `file.open_files`: which processes hold which files, out of `/proc` (`proc(5)`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use salt_proto::{Map, Value};

use crate::registry::Registry;
use crate::system::Observe;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        "file.open_files",
        "open_files(by_pid=False)",
        "Returns all open files with the processes that have them; with by_pid, the processes with their files.",
        |args, context| {
            let held = held(context.system);
            if args.is_true("by_pid") {
                let of_process = |(pid, files): (u32, BTreeSet<String>)| {
                    (Value::from(pid), files.into_iter().collect::<Value>())
                };
                return Ok(held.into_iter().map(of_process).collect::<Map>().into());
            }
            let mut by_file: BTreeMap<String, Vec<u32>> = BTreeMap::new();
            for (pid, files) in held {
                for file in files {
                    by_file.entry(file).or_default().push(pid);
                }
            }
            let of_file = |(file, pids): (String, Vec<u32>)| {
                (Value::from(file), pids.into_iter().collect::<Value>())
            };
            Ok(by_file.into_iter().map(of_file).collect::<Map>().into())
        },
    );
}

/// What every process has open. A process that ends meanwhile has nothing.
fn held(machine: &dyn Observe) -> BTreeMap<u32, BTreeSet<String>> {
    let names = machine.list(Path::new("/proc")).unwrap_or_default();
    let pids = names.iter().filter_map(|name| name.to_str()?.parse().ok());
    pids.map(|pid: u32| (pid, files(machine, pid))).collect()
}

/// The files of all threads of a process, and the program itself.
fn files(machine: &dyn Observe, pid: u32) -> BTreeSet<String> {
    let tasks = Path::new("/proc").join(pid.to_string()).join("task");
    let mut found = BTreeSet::new();
    for task in machine.list(&tasks).unwrap_or_default() {
        let task = tasks.join(task);
        let open = task.join("fd");
        let numbers = machine.list(&open).unwrap_or_default();
        let links = numbers.into_iter().map(|number| open.join(number));
        for link in links.chain([task.join("exe")]) {
            let target = machine.read_link(&link).ok();
            // Pipes, sockets and what was removed have names that lead nowhere.
            if let Some(target) = target.filter(|at| at.is_absolute() && machine.exists(at)) {
                found.insert(target.to_string_lossy().into_owned());
            }
        }
    }
    found
}
