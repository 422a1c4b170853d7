//! Services of machines in memory.

use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::{Context, MinionData};
use crate::registry::{CallError, Registry};
use crate::system::{FakeSystem, Output};

/// A machine with systemd, on which `ssh` runs and is enabled, `foo` is stopped and
/// disabled, `bad` cannot be changed and nothing else exists.
fn with_systemd() -> FakeSystem {
    FakeSystem::new()
        .directory("/run/systemd/system")
        .file("/usr/lib/systemd/system/ssh.service", "")
        .file("/usr/lib/systemd/system/a.timer", "")
        .file("/usr/lib/systemd/system/x.slice", "")
        .file("/usr/lib/systemd/system/ssh.service.d/a.conf", "")
        .link("/etc/systemd/system/pm.service", "/dev/null")
        .program("/etc/init.d/old")
        .command("systemctl", |command| {
            let line = command.line();
            let line = line.trim_start_matches("systemctl ");
            let about = |name: &str| line.contains(&format!(" {name}.service"));
            match line.split(' ').next().unwrap_or_default() {
                "is-active" if about("ssh") => Output::success("active\n"),
                "is-active" => Output::failure(3, ""),
                "is-enabled" if about("ssh") => Output::success("enabled\n"),
                "is-enabled" => Output::failure(1, ""),
                "status" if about("ssh") => Output::success("ssh.service\n"),
                "status" if about("foo") => Output::failure(3, ""),
                "status" => Output::failure(4, "Unit nope.service could not be found.\n"),
                "--full" if line.ends_with("list-unit-files") => Output::success(
                    "ssh.service enabled enabled\nfoo.service disabled enabled\n\
                     r.service enabled-runtime -\na.timer enabled -\nb@.service static -\n\
                     x.slice enabled -\n",
                ),
                "--full" => Output::success(
                    "  ssh.service loaded active running OpenSSH\n\
                     ● bad.service loaded failed failed Bad\n\
                       one.service loaded active exited One\n",
                ),
                _ if about("bad") => Output::failure(5, "Unit bad.service not found.\n"),
                _ => Output::success(""),
            }
        })
}

fn call(machine: &FakeSystem, name: &str, args: Args) -> Result<Value, CallError> {
    let (registry, minion) = (Registry::builtin(), MinionData::default());
    registry.call(name, &args, &Context::new(&registry, machine, &minion))
}

#[track_caller]
fn check(machine: &FakeSystem, name: &str, service: &str, expected: bool) {
    let found = call(machine, name, Args::new().with(service));
    assert_eq!(found, Ok(expected.into()), "{name} {service}");
}

fn lines(machine: &FakeSystem) -> Vec<String> {
    machine.commands().iter().map(|one| one.line()).collect()
}

#[test]
fn systemd_is_asked_by_unit() {
    let machine = with_systemd();

    check(&machine, "service.status", "ssh", true);
    check(&machine, "service.status", "foo", false);
    check(&machine, "service.enabled", "ssh", true);
    check(&machine, "service.disabled", "foo", true);
    check(&machine, "service.available", "ssh", true);
    check(&machine, "service.available", "foo", true);
    check(&machine, "service.missing", "nope", true);
    check(&machine, "service.status", "a.timer", false);

    let asked = lines(&machine);
    assert_eq!(asked.first().unwrap(), "systemctl is-active -- ssh.service");
    assert_eq!(asked.last().unwrap(), "systemctl is-active -- a.timer");
}

#[test]
fn a_glob_asks_for_each_service_it_matches() {
    let found = call(&with_systemd(), "service.status", Args::new().with("ss*"));
    assert_eq!(found, Ok(Map::from([("ssh", true)]).into()));
}

#[test]
fn lists_hold_names_without_the_ending_of_services() {
    let machine = with_systemd();
    let list = |name: &str| call(&machine, name, Args::new()).unwrap();
    let texts = |names: &[&str]| names.iter().copied().collect::<Value>();

    assert_eq!(
        list("service.get_all"),
        texts(&["a.timer", "old", "pm", "ssh"])
    );
    assert_eq!(list("service.get_enabled"), texts(&["a.timer", "r", "ssh"]));
    assert_eq!(list("service.get_disabled"), texts(&["foo"]));
    assert_eq!(list("service.get_static"), texts(&["b@"]));
    assert_eq!(list("service.get_running"), texts(&["ssh"]));
}

#[test]
fn a_failed_start_is_an_error_and_a_failed_stop_is_false() {
    let machine = with_systemd();
    let bad = || Args::new().with("bad");

    let refusal = Err(CallError::execution("Unit bad.service not found."));
    assert_eq!(call(&machine, "service.start", bad()), refusal);
    assert_eq!(call(&machine, "service.enable", bad()), refusal);
    assert_eq!(call(&machine, "service.stop", bad()), Ok(false.into()));
    assert_eq!(call(&machine, "service.disable", bad()), Ok(false.into()));
    check(&machine, "service.restart", "ssh", true);
    assert_eq!(
        lines(&machine).last().unwrap(),
        "systemctl restart -- ssh.service"
    );
}

#[test]
fn a_masked_unit_is_unmasked_before_it_is_started() {
    let machine = with_systemd();

    check(&machine, "service.masked", "pm", true);
    check(&machine, "service.masked", "ssh", false);
    let args = Args::new().with("pm").keyword("unmask", true);
    assert_eq!(call(&machine, "service.start", args), Ok(true.into()));

    assert_eq!(
        lines(&machine),
        [
            "systemctl unmask -- pm.service",
            "systemctl start -- pm.service"
        ]
    );
}

#[test]
fn properties_in_braces_are_mappings() {
    let machine = FakeSystem::new().command("systemctl", |_| {
        Output::success("Id=ssh.service\nExecStart={ path=/usr/sbin/sshd ; pid=0 ; status=0/0 }\n")
    });

    let found = call(&machine, "service.show", Args::new().with("ssh")).unwrap();

    assert_eq!(found.get("Id"), Some(&"ssh.service".into()));
    let start = found.get("ExecStart").unwrap();
    assert_eq!(start.get("path"), Some(&"/usr/sbin/sshd".into()));
}

#[test]
fn systemd_that_started_nothing_is_asked_all_the_same_but_not_which_units_there_are() {
    let machine = FakeSystem::new()
        .program("/etc/init.d/ssh")
        .program("/usr/bin/systemctl")
        .command("systemctl", |command| match command.line() {
            line if line.contains("is-active") => {
                Output::success("Running in chroot, ignoring command 'is-active'\n")
            }
            _ => Output::failure(1, "disabled\n"),
        });

    check(&machine, "service.status", "ssh", true);
    check(&machine, "service.enabled", "ssh", false);
    let found = call(&machine, "service.available", Args::new().with("ssh"));
    assert_eq!(
        found.unwrap_err().to_string(),
        "Cannot run in offline mode. Failed to get information on unit 'ssh'"
    );
}

#[test]
fn without_systemd_the_scripts_are_used() {
    let machine = FakeSystem::new()
        .program("/usr/sbin/service")
        .program("/usr/sbin/update-rc.d")
        .program("/etc/init.d/ssh")
        .program("/etc/init.d/foo")
        .file("/etc/init.d/README", "")
        .link("/etc/rc2.d/S01ssh", "../init.d/ssh")
        .link("/etc/rc2.d/K01foo", "../init.d/foo")
        .command("service", |command| match command.line().as_str() {
            "service foo status" => Output::failure(3, ""),
            line if line.contains("bad") => Output::failure(1, "bad: unrecognized service\n"),
            _ => Output::success(""),
        })
        .command("update-rc.d", |_| Output::success(""));

    check(&machine, "service.status", "ssh", true);
    check(&machine, "service.status", "foo", false);
    check(&machine, "service.available", "ssh", true);
    check(&machine, "service.missing", "README", true);
    check(&machine, "service.enabled", "ssh", true);
    check(&machine, "service.enabled", "foo", false);
    check(&machine, "service.disabled", "foo", true);
    // One that is not there is neither.
    check(&machine, "service.disabled", "nope", false);
    check(&machine, "service.start", "bad", false);
    check(&machine, "service.reload", "ssh", true);
    check(&machine, "service.disable", "ssh", true);
    assert_eq!(lines(&machine).last().unwrap(), "update-rc.d ssh disable");
}

#[test]
fn a_name_leads_to_no_other_file_and_is_no_option() {
    let machine = FakeSystem::new()
        .program("/tmp/evil")
        .answer(|_| Some(Output::success("")));

    check(&machine, "service.status", "../../tmp/evil", false);
    check(&machine, "service.start", "../../tmp/evil", false);
    check(&machine, "service.enable", "--help", false);
    check(&machine, "service.status", "", false);

    assert!(machine.commands().is_empty(), "{:?}", lines(&machine));
}

#[test]
fn openrc_is_used_where_it_is() {
    let machine = FakeSystem::new()
        .program("/sbin/rc-service")
        .program("/etc/init.d/sshd")
        .link("/etc/runlevels/default/sshd", "/etc/init.d/sshd")
        .command("rc-service", |_| Output::success(""))
        .command("rc-update", |_| Output::success(""));

    check(&machine, "service.enabled", "sshd", true);
    check(&machine, "service.status", "sshd", true);
    check(&machine, "service.restart", "sshd", true);
    check(&machine, "service.enable", "sshd", true);

    assert_eq!(
        lines(&machine),
        [
            "rc-service sshd status",
            "rc-service sshd restart",
            "rc-update add sshd"
        ]
    );
}

#[test]
fn a_signature_looks_for_a_process() {
    let machine = with_systemd().file("/proc/77/cmdline", "/usr/sbin/sshd\0-D\0");
    let status = |sig: &str| {
        let args = Args::new().with("nope").with(sig);
        call(&machine, "service.status", args)
    };

    assert_eq!(status("sshd -D"), Ok(true.into()));
    assert_eq!(status("nothing"), Ok(false.into()));
    assert!(machine.commands().is_empty());
}
