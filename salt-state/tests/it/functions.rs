//! Execution functions against the answers of real Salt.

use std::net::IpAddr;
use std::path::Path;

use salt_proto::{Map, Value};
use salt_state::{
    Args, CallError, Context, FakeSystem, Interface, InterfaceAddress, Kernel, MinionData, Observe,
    Registry,
};

use crate::golden::{decode, same};

#[test]
fn grains_are_asked_for_and_set_as_salt_does() {
    let recorded = recorded(include_str!("../vectors/functions/grains.json"));
    let grains = recorded.get("grains").and_then(Value::as_map).unwrap();
    let machine = || FakeSystem::new().directory("/etc/salt");

    let count = check_all(&recorded, grains, machine);

    println!("grains functions: {count} recorded calls checked");
    assert_eq!(count, 303);
}

#[test]
fn a_grains_file_that_is_no_yaml_is_left_as_it_is() {
    let machine = FakeSystem::new().file("/etc/salt/grains", "broken: [");
    let (registry, minion) = (Registry::builtin(), MinionData::default());
    let context = Context::new(&registry, &machine, &minion);
    let args = Args::new().with("k").with("v");

    let told = registry.call("grains.setval", &args, &context).unwrap();
    let outcome = registry.call("grains.set", &args, &context).unwrap();

    // Salt's words; what follows are those of the YAML library.
    let beginning = "Unable to read existing grains file: while parsing a flow node";
    assert!(told.as_str().unwrap().starts_with(beginning), "{told:?}");
    assert!(
        told.as_str()
            .unwrap()
            .contains("in \"/etc/salt/grains\", line")
    );
    assert_eq!(outcome.get("result"), Some(&false.into()));
    assert_eq!(outcome.get("comment"), Some(&told));
    let after = machine.text(Path::new("/etc/salt/grains")).unwrap();
    assert_eq!(after.as_deref(), Some("broken: ["));
}

#[test]
fn networks_are_described_as_salt_does() {
    let recorded = recorded(include_str!("../vectors/functions/network.json"));

    let count = check_all(&recorded, &Map::new(), networked);

    println!("network functions: {count} recorded calls checked");
    assert_eq!(count, 80);
}

fn recorded(json: &str) -> Value {
    decode(&serde_json::from_str(json).expect("JSON"))
}

/// Makes every recorded call on a fresh machine and compares results, errors, return
/// codes where one was set, and the grains file afterwards.
fn check_all(recorded: &Value, grains: &Map, machine: impl Fn() -> FakeSystem) -> usize {
    let registry = Registry::builtin();
    let cases = recorded
        .get("cases")
        .and_then(Value::as_list)
        .expect("a list");
    for case in cases {
        let mut machine = machine();
        if let Some(file) = case.get("file").and_then(Value::as_str) {
            machine = machine.file("/etc/salt/grains", file);
        }
        let mut grains = match case.get("grains").and_then(Value::as_map) {
            Some(own) => own.clone(),
            None => grains.clone(),
        };
        if let Some(more) = case.get("more").and_then(Value::as_map) {
            grains.extend(more.clone());
        }
        let minion = MinionData {
            grains: grains.into(),
            config: Map::from([("config_dir", "/etc/salt")]),
            ..MinionData::default()
        };
        let mut args = Args::new();
        for one in case.get("args").and_then(Value::as_list).expect("a list") {
            args = args.with(one.clone());
        }
        for (key, value) in case
            .get("kwargs")
            .and_then(Value::as_map)
            .into_iter()
            .flatten()
        {
            args = args.keyword(key.as_str().expect("a name"), value.clone());
        }
        let function = case.get("fun").and_then(Value::as_str).expect("a name");
        let context = Context::new(&registry, &machine, &minion);

        let found = registry.call(function, &args, &context);

        match (&found, case.get("error").and_then(Value::as_list)) {
            (Ok(found), None) => {
                let expected = case.get("result").expect("a result");
                assert!(same(found, expected), "{case:?}\nfound {found:?}");
            }
            (Err(error), Some(expected)) => {
                assert_eq!(&kind_and_text(error)[..], expected, "{case:?}");
            }
            _ => panic!("{case:?}\nfound {found:?}"),
        }
        let after = machine
            .text(Path::new("/etc/salt/grains"))
            .expect("readable");
        assert_eq!(
            after.as_deref(),
            case.get("after").and_then(Value::as_str),
            "{case:?}"
        );
    }
    cases.len()
}

fn kind_and_text(error: &CallError) -> [Value; 2] {
    let kind = match error {
        CallError::Execution(_) => "CommandExecutionError",
        CallError::Invocation(_) => "SaltInvocationError",
        CallError::Exception { kind, .. } => kind.rsplit('.').next().unwrap_or_default(),
        other => panic!("{other:?}"),
    };
    [kind.into(), error.to_string().into()]
}

/// The machine on which the calls were recorded.
fn networked() -> FakeSystem {
    let address = |text: &str, prefix, scope: &str, label: Option<&str>| InterfaceAddress {
        address: text.parse::<IpAddr>().expect("an address"),
        prefix,
        broadcast: (text == "192.0.2.2").then(|| "192.0.2.255".parse().expect("an address")),
        label: label.map(str::to_owned),
        scope: scope.to_owned(),
        secondary: false,
    };
    let interface = |name: &str, index, hardware: &str, addresses: Vec<_>| Interface {
        name: name.to_owned(),
        index,
        up: !addresses.is_empty(),
        loopback: name == "lo",
        hardware: Some(hardware.to_owned()),
        parent: None,
        addresses,
    };
    FakeSystem::new()
        .with_kernel(Kernel {
            node: "vm".to_owned(),
            ..Kernel::default()
        })
        .with_interfaces(vec![
            interface(
                "lo",
                1,
                "00:00:00:00:00:00",
                vec![
                    address("127.0.0.1", 8, "host", Some("lo")),
                    address("::1", 128, "host", None),
                ],
            ),
            interface("ifb0", 2, "62:ab:49:cb:7c:df", vec![]),
            interface("ifb1", 3, "96:8f:41:cd:5c:37", vec![]),
            interface(
                "eth0",
                4,
                "02:fc:00:00:00:01",
                vec![
                    address("192.0.2.2", 24, "global", Some("eth0")),
                    address("fd00::2", 64, "global", None),
                    address("fe80::fc:ff:fe00:1", 64, "link", None),
                ],
            ),
        ])
        .file("/proc/net/route", ROUTES)
        .file("/proc/net/ipv6_route", ROUTES6)
        .file("/proc/net/arp", ARP)
}

const ROUTES: &str = "\
Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n\
eth0 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n";

const ROUTES6: &str = "\
fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001 eth0\n\
fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000002 00000000 00000001 eth0\n\
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003 eth0\n\
00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000002 00000000 80200001 lo\n\
fd000000000000000000000000000002 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000003 00000000 80200001 eth0\n\
fe8000000000000000fc00fffe000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000002 00000000 80200001 eth0\n\
ff000000000000000000000000000000 08 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000003 00000000 00000001 eth0\n\
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200 lo\n";

const ARP: &str = "\
IP address HW type Flags HW address Mask Device\n\
192.0.2.1 0x1 0x2 02:fc:00:00:00:05 * eth0\n";
