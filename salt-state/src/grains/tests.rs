//! Whole sets of grains.

use std::net::IpAddr;

use salt_proto::{Map, Value};

use super::*;
use crate::system::{FakeSystem, Interface, InterfaceAddress};

#[test]
fn every_recorded_distribution_is_told_apart_as_salt_does() {
    let recorded = yaml::load(include_str!("../../tests/vectors/grains/os-release.json")).unwrap();
    let cases = recorded.get("cases").and_then(Value::as_list).unwrap();

    for case in cases {
        let name = case.get("name").and_then(Value::as_str).unwrap();
        let mut machine = FakeSystem::new();
        for (path, content) in case.get("files").and_then(Value::as_map).unwrap() {
            machine = machine.file(path.as_str().unwrap(), content.as_str().unwrap());
        }
        let found = gathered(&machine, Map::new());
        let mut expected = case.get("grains").and_then(Value::as_map).unwrap().clone();
        for key in OF_DISTRIBUTION {
            assert_eq!(found.get(key), expected.get(key), "{key} of {name}");
            expected.remove(key);
        }
        assert_eq!(expected, Map::new(), "{name}");
    }
    assert_eq!(cases.len(), 51);
}

const OF_DISTRIBUTION: [&str; 12] = [
    "os",
    "os_family",
    "osfullname",
    "osrelease",
    "osrelease_info",
    "osmajorrelease",
    "oscodename",
    "osfinger",
    "lsb_distrib_id",
    "lsb_distrib_release",
    "lsb_distrib_codename",
    "lsb_distrib_description",
];

#[test]
fn the_configuration_wins_over_the_file_and_the_file_over_the_machine() {
    let machine = FakeSystem::new().file("/etc/salt/grains", "os: Mine\na: file\nb: file\n");
    let config = Map::from([("grains", Map::from([("b", "config")]))]);

    let found = gathered(&machine, config);

    assert_eq!(found.str("os"), Some("Mine"));
    assert_eq!(
        (found.str("a"), found.str("b")),
        (Some("file"), Some("config"))
    );
}

#[test]
fn a_grains_file_that_cannot_be_read_as_yaml_is_left_out() {
    for broken in ["a: b: c", "- a", "text", ""] {
        let machine = FakeSystem::new().file("/etc/salt/grains", broken);
        assert_eq!(gathered(&machine, Map::new()).str("kernel"), Some("Linux"));
    }
}

#[test]
fn mappings_are_merged_only_when_asked_for() {
    let machine = FakeSystem::new().file("/etc/salt/grains", "a:\n  x: 1\n");
    let mut config = Map::from([("grains", yaml::load("a: {y: 2}").unwrap())]);

    let plain = gathered(&machine, config.clone());
    config.insert("grains_deep_merge", true);
    let deep = gathered(&machine, config);

    assert_eq!(plain.get("a"), Some(&yaml::load("{y: 2}").unwrap()));
    assert_eq!(deep.get("a"), Some(&yaml::load("{x: 1, y: 2}").unwrap()));
}

#[test]
fn unwanted_grains_are_left_out_by_pattern() {
    let config = Map::from([("grains_blacklist", yaml::load("[cpu_*, id]").unwrap())]);

    let found = gathered(&FakeSystem::new(), config);

    assert!(!found.contains_key("cpu_flags") && !found.contains_key("id"));
    assert!(found.contains_key("cpuarch"));
}

#[test]
fn addresses_are_listed_by_interface_and_together() {
    let machine = FakeSystem::new()
        .file(
            "/etc/hosts",
            "127.0.0.1 localhost\n10.0.0.5 fake.example.com fake\n",
        )
        .with_interfaces(vec![
            interface("lo", &["127.0.0.1", "::1"]),
            interface("eth0", &["10.0.0.5", "9.0.0.1", "fe80::1"]),
            interface("tun0", &[]),
        ]);

    let found = gathered(&machine, Map::new());

    let expected =
        yaml::load("{lo: [127.0.0.1, '::1'], eth0: [10.0.0.5, 9.0.0.1, 'fe80::1'], tun0: []}");
    assert_eq!(found.get("ip_interfaces"), Some(&expected.unwrap()));
    let expected = yaml::load("{lo: ['::1'], eth0: ['fe80::1'], tun0: []}").unwrap();
    assert_eq!(found.get("ip6_interfaces"), Some(&expected));
    let expected = yaml::load("[9.0.0.1, 10.0.0.5, 127.0.0.1]").unwrap();
    assert_eq!(found.get("ipv4"), Some(&expected));
    assert_eq!(
        found.get("fqdn_ip4"),
        Some(&yaml::load("[10.0.0.5]").unwrap())
    );
    assert_eq!(found.str("domain"), Some("example.com"));
    assert!(machine.commands().is_empty(), "{:?}", machine.commands());
}

#[test]
fn the_best_default_route_is_the_gateway() {
    let machine = FakeSystem::new()
        .file(
            "/proc/net/route",
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
             wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
             eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
             eth0\t0000000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n",
        )
        .file(
            "/proc/net/ipv6_route",
            "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
             00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n",
        );

    let found = gathered(&machine, Map::new());

    assert_eq!(found.str("ip4_gw"), Some("10.0.0.1"));
    assert_eq!(found.get("ip6_gw"), Some(&Value::Bool(false)));
    assert_eq!(found.get("ip_gw"), Some(&Value::Bool(true)));
}

fn gathered(machine: &FakeSystem, config: Map) -> Map {
    gather(machine, &config, Path::new("/etc/salt"))
}

fn interface(name: &str, addresses: &[&str]) -> Interface {
    let address = |text: &&str| InterfaceAddress {
        address: text.parse::<IpAddr>().unwrap(),
        prefix: 24,
        broadcast: None,
        label: None,
        scope: "global".to_owned(),
        secondary: false,
    };
    Interface {
        name: name.to_owned(),
        addresses: addresses.iter().map(address).collect(),
        ..Interface::default()
    }
}

#[test]
fn programs_are_asked_only_when_somebody_needs_what_they_tell() {
    use crate::system::Output;
    let machine = Arc::new(
        FakeSystem::new()
            .file("/etc/os-release", "ID=debian\nNAME=Debian\n")
            .file("/etc/salt/grains", "role: web\nvirtual_subtype: mine\n")
            .program("/usr/bin/systemctl")
            .program("/usr/bin/systemd-detect-virt")
            .command("dpkg", |_| Output::success("arm64\n"))
            .command("systemctl", |_| Output::success("systemd 252 (x)\n+PAM\n"))
            .command("systemd-detect-virt", |_| Output::success("docker\n")),
    );
    let config = Map::from([
        ("id", Value::from("m")),
        ("master", Value::Null),
        ("grains", Map::from([("systemd", "mine")]).into()),
        ("grains_blacklist", ["num_*"].into_iter().collect()),
    ]);
    let directory = Path::new("/etc/salt");
    let all = gather(&*machine, &config, directory);
    let asked = || {
        let commands = machine.commands();
        let of = |name: &str| commands.iter().filter(|c| c.program == name).count();
        ["dpkg", "systemctl", "systemd-detect-virt"].map(of)
    };
    assert_eq!(asked(), [1, 1, 1]);

    let grains = gather_lazily(Arc::clone(&machine) as Arc<dyn Observe>, &config, directory);

    assert_eq!(grains.str("os_family"), Some("Debian"));
    assert_eq!(grains.str("systemd"), Some("mine"));
    assert_eq!(grains.str("virtual_subtype"), Some("mine"));
    assert_eq!(grains.get("master"), Some(&Value::Null));
    assert!(!grains.contains_key("nothing"));
    assert_eq!(asked(), [1, 1, 1]);
    assert_eq!(grains.str("osarch"), Some("arm64"));
    assert_eq!(asked(), [2, 2, 2]);
    assert_eq!(grains.str("virtual"), Some("container"));
    let order = |map: &Map| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(order(&grains), order(&all));
    assert_eq!(*grains, all);
}
