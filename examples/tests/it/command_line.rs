//! `salt` and `salt-run` with a master and two minions, over loopback sockets.
//!
//! What is expected was printed by Salt 3008.3's programs for the same commands, job ids aside.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use salt_crypto::FingerprintHash;
use salt_examples::config::{MasterConfig, MinionConfig};
use salt_examples::salt::show::Show;
use salt_examples::salt::{Screen, command, run, runner};
use salt_examples::{master, minion, rng};
use salt_proto::Map;
use salt_transport::PkiDir;
use salt_transport::pki::KeyPairOptions;
use tokio::task::LocalSet;

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("salt-cli-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Two ports that were free a moment ago.
fn free_ports() -> (u16, u16) {
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [request, publish] = sockets.map(|socket| socket.local_addr().unwrap().port());
    (request, publish)
}

/// Writes the configuration of a daemon into a directory of its own.
fn configure(dir: &Path, file: &str, settings: &[(&str, String)]) -> PathBuf {
    fs::create_dir_all(dir).unwrap();
    let root = dir.display();
    let mut text: String = ["cachedir", "pki_dir", "sock_dir", "root_dir"]
        .map(|key| match key {
            "root_dir" => format!("{key}: {root}\n"),
            key => format!("{key}: {root}/{}\n", key.trim_end_matches("_dir")),
        })
        .concat();
    for (key, value) in settings {
        text.push_str(&format!("{key}: {value}\n"));
    }
    fs::write(dir.join(file), text).unwrap();
    dir.to_owned()
}

/// A running master with two minions, and its configuration.
struct Fleet {
    config: MasterConfig,
}

impl Fleet {
    fn start(dir: &Path) -> Self {
        let (request, publish) = free_ports();
        let master_dir = configure(
            &dir.join("master"),
            "master",
            &[
                ("interface", "127.0.0.1".to_owned()),
                ("ret_port", request.to_string()),
                ("publish_port", publish.to_string()),
                ("auto_accept", "true".to_owned()),
                ("timeout", "1".to_owned()),
                ("gather_job_timeout", "1".to_owned()),
                ("nodegroups", "{both: 'web1,web2'}".to_owned()),
            ],
        );
        let config = MasterConfig::read(&master_dir, &Map::new()).unwrap();
        let pki = PkiDir::open(&config.pki_dir).unwrap();
        let identity = pki
            .identity("master", &KeyPairOptions::default(), &mut rng())
            .unwrap();
        let fingerprint = identity.public_key().fingerprint(FingerprintHash::Sha256);
        tokio::task::spawn_local(master::run(config.clone()));
        for id in ["web1", "web2"] {
            let minion_dir = configure(
                &dir.join(id),
                "minion",
                &[
                    ("id", id.to_owned()),
                    ("master", "127.0.0.1".to_owned()),
                    ("master_port", request.to_string()),
                    ("publish_port", publish.to_string()),
                    ("acceptance_wait_time", "1".to_owned()),
                    ("master_finger", format!("'{fingerprint}'")),
                ],
            );
            let config =
                MinionConfig::read(&minion_dir, &Map::new(), &salt_state::Host::new()).unwrap();
            tokio::task::spawn_local(minion::run(config));
        }
        Self { config }
    }

    /// Waits until both minions answer.
    async fn ready(&self) {
        let begin = Instant::now();
        loop {
            let up = self.salt_run("manage.up --out json --out-indent=-1").await;
            if up.stdout.contains(r#"["web1", "web2"]"#) {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{up:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn salt(&self, line: &str) -> Printed {
        let words = shell_words(line);
        let command = match command::Command::read(words, || Ok(String::new())) {
            Ok(command) => command,
            Err(exit) => panic!("{line}: {exit:?}"),
        };
        let show = Show::new(&command.output, &self.config.opts, false).unwrap();
        Printed::of(async |screen| run::run(&command, &self.config, &show, screen).await).await
    }

    async fn salt_run(&self, line: &str) -> Printed {
        let command = runner::Command::read(shell_words(line)).unwrap();
        let show = Show::new(&command.output, &self.config.opts, false).unwrap();
        Printed::of(async |screen| runner::run(&command, &self.config, &show, screen).await).await
    }
}

/// Words separated by blanks, or between quotes.
fn shell_words(line: &str) -> Vec<String> {
    line.split('\'')
        .enumerate()
        .flat_map(|(at, part)| match at % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

/// What a program printed, job ids replaced by `JID`.
#[derive(Debug, PartialEq)]
struct Printed {
    stdout: String,
    stderr: String,
    succeeded: bool,
    jid: Option<String>,
}

impl Printed {
    async fn of(
        program: impl AsyncFnOnce(&mut Screen<'_>) -> std::io::Result<std::process::ExitCode>,
    ) -> Self {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = program(&mut Screen::new(&mut out, &mut err)).await.unwrap();
        let (stdout, jid) = without_jids(&String::from_utf8(out).unwrap());
        Self {
            stdout,
            stderr: String::from_utf8(err).unwrap(),
            // An exit code can only be compared by its debug form.
            succeeded: format!("{code:?}") == format!("{:?}", std::process::ExitCode::SUCCESS),
            jid,
        }
    }

    #[track_caller]
    fn check(&self, stdout: &str, stderr: &str, succeeded: bool) {
        let expected = (stdout, stderr, succeeded);
        let found = (self.stdout.as_str(), self.stderr.as_str(), self.succeeded);
        assert_eq!(found, expected, "{}", self.stdout);
    }
}

/// The text with every run of twenty digits replaced, and one of them.
fn without_jids(text: &str) -> (String, Option<String>) {
    let (mut plain, mut jid, mut digits) = (String::new(), None, String::new());
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        match std::mem::take(&mut digits) {
            run if run.len() == 20 => {
                plain.push_str("JID");
                jid = Some(run);
            }
            run => plain.push_str(&run),
        }
        plain.push(c);
    }
    plain.pop();
    (plain, jid)
}

const MISSING: &str = "    Minion did not return. [No response]\n    \
    The minions may not have all finished running and any remaining minions will return upon completion. \
    To look up the return data for this job later, run the following command:\n    \n    \
    salt-run jobs.lookup_jid JID\n";
const NOBODY: &str = "No minions matched the target. No command was sent, no jid was assigned.\n";
const NO_RETURN: &str = "ERROR: No return received\n";
const FAILED: &str = "ERROR: Minions returned with non-zero exit code\n";

#[test]
fn commands_print_and_end_as_salts_do() {
    let scratch = Scratch::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = LocalSet::new();
    runtime.block_on(local.run_until(async {
        let fleet = Fleet::start(&scratch.0);
        fleet.ready().await;
        plain(&fleet).await;
        nobody(&fleet).await;
        targets(&fleet).await;
        batches(&fleet).await;
        job_cache(&fleet).await;
        signals(&fleet).await;
    }));
    drop(local);
}

async fn plain(fleet: &Fleet) {
    let printed = fleet.salt("web1 test.ping").await;
    printed.check("web1:\n    True\n", "", true);

    let printed = fleet.salt("-v web1 test.ping").await;
    printed.check(
        "Executing job with jid JID\n-------------------------------------------\n\nweb1:\n    True\n",
        "",
        true,
    );

    let printed = fleet.salt("--show-jid web1 test.ping").await;
    printed.check("jid: JID\nweb1:\n    True\n", "", true);

    let printed = fleet.salt("web1 test.nope").await;
    printed.check("web1:\n    'test.nope' is not available.\n", FAILED, false);

    let printed = fleet.salt("-s --out json * test.ping").await;
    assert!(printed.stdout.contains("\"web1\": true") && printed.stdout.contains("\"web2\": true"));
    assert_eq!(printed.stdout.lines().count(), 4);

    let printed = fleet.salt("--out json * test.ping").await;
    assert!(printed.stdout.contains("{\n    \"web1\": true\n}\n"));
    assert!(printed.stdout.contains("{\n    \"web2\": true\n}\n"));

    let printed = fleet.salt("-L web1,zzz test.ping").await;
    printed.check(&format!("web1:\n    True\nzzz:\n{MISSING}"), FAILED, false);

    let printed = fleet.salt("--summary web1 test.ping").await;
    printed.check(
        "web1:\n    True\n\n\n-------------------------------------------\nSummary\n\
         -------------------------------------------\n# of minions targeted: 1\n\
         # of minions returned: 1\n# of minions that did not return: 0\n\
         # of minions with errors: 0\n-------------------------------------------\n",
        "",
        true,
    );

    let printed = fleet.salt("--async web1 test.ping").await;
    printed.check("Executed command with job ID: JID\n", "", true);

    let printed = fleet
        .salt("web1 test.ping,test.echo , hello --out json")
        .await;
    printed.check(
        "{\n    \"web1\": {\n        \"test.ping\": true,\n        \"test.echo\": \"hello\"\n    }\n}\n",
        "",
        true,
    );
}

async fn nobody(fleet: &Fleet) {
    fleet
        .salt("nope* test.ping")
        .await
        .check(NOBODY, NO_RETURN, false);
    fleet.salt("nope* test.ping --out json").await.check(
        &format!("{NOBODY}{{}}\n"),
        NO_RETURN,
        false,
    );
    fleet.salt("nope* test.ping --async").await.check(
        &format!("{NOBODY}Executed command with job ID: 0\n"),
        "",
        true,
    );
    fleet.salt("-d nope* test.ping").await.check(
        NOBODY,
        "No minions found to gather docs from\n",
        false,
    );
    fleet.salt("-b 1 nope* test.ping").await.check(
        &format!("{NOBODY}No minions matched the target.\n"),
        NO_RETURN,
        false,
    );
}

async fn targets(fleet: &Fleet) {
    fleet
        .salt("--preview-target web*")
        .await
        .check("- web1\n- web2\n", "", true);
    fleet
        .salt("--preview-target nope*")
        .await
        .check("", NO_RETURN, false);
    let printed = fleet.salt("-s -N both test.ping").await;
    printed.check("web1:\n    True\nweb2:\n    True\n", "", true);
    let printed = fleet.salt("-N nope test.ping").await;
    let file = fleet.config.config_dir.join("master");
    let expected = format!("Node group nope unavailable in {}\n", file.display());
    printed.check(&expected, "", true);
    let printed = fleet
        .salt("-s -C 'E@web[0-9] and not web2' test.ping")
        .await;
    printed.check("web1:\n    True\n", "", true);
}

async fn batches(fleet: &Fleet) {
    let printed = fleet.salt("-b 1 * test.ping").await;
    printed.check(
        "\nExecuting run on ['web1']\n\n\nExecuting run on ['web2']\n\n\
         jid:\n    JID\nretcode:\n    0\nweb1:\n    True\n\
         jid:\n    JID\nretcode:\n    0\nweb2:\n    True\n",
        "",
        true,
    );
    let printed = fleet.salt("-b 1 --failhard * test.nope").await;
    printed.check(
        "\nExecuting run on ['web1']\n\njid:\n    JID\nretcode:\n    1\nweb1:\n    \
         'test.nope' is not available.\n",
        "[ERROR   ] Batch run stopped due to failhard\n",
        false,
    );
    let printed = fleet
        .salt("--batch-safe-limit 2 -s --out json * test.ping")
        .await;
    assert!(
        printed
            .stdout
            .starts_with("\nNOTICE: Too many minions targeted, switching to batch execution.\n")
    );
}

async fn job_cache(fleet: &Fleet) {
    let printed = fleet.salt("--show-jid web1 test.echo hello").await;
    let jid = printed.jid.unwrap();

    fleet
        .salt_run(&format!("jobs.lookup_jid {jid}"))
        .await
        .check("web1:\n    hello\n", "", true);
    fleet
        .salt_run(&format!("jobs.exit_success {jid} --out json"))
        .await
        .check("{\n    \"web1\": true\n}\n", "", true);
    let printed = fleet.salt_run(&format!("jobs.list_job {jid}")).await;
    for expected in [
        "Function:\n    test.echo\n",
        "Minions:\n    - web1\n",
        "jid:\n    JID\n",
    ] {
        assert!(printed.stdout.contains(expected), "{}", printed.stdout);
    }
    let listed = fleet
        .salt_run("jobs.list_jobs search_function=test.echo")
        .await;
    assert!(
        listed.stdout.contains("Arguments:\n        - hello\n"),
        "{}",
        listed.stdout
    );
    fleet
        .salt_run("jobs.lookup_jid 20200101000000000000 --out json")
        .await
        .check("{}\n", "", true);
    fleet
        .salt_run("manage.status")
        .await
        .check("down:\nup:\n    - web1\n    - web2\n", "", true);
    fleet.salt_run("jobs.active").await.check("", "", true);
    fleet
        .salt_run("nope.nope")
        .await
        .check("'nope.nope' is not available.\n", "", true);

    let watching = fleet.salt_run("state.event 'salt/job/*/ret/web1' count=1");
    let (watched, _) = tokio::join!(watching, fleet.salt("web1 test.echo seen"));
    assert!(
        watched
            .stdout
            .starts_with("salt/job/JID/ret/web1\t{\"cmd\": \"_return\", \"id\": \"web1\"")
    );
    assert!(watched.stdout.ends_with("}\nNone\n"), "{}", watched.stdout);
}

/// A job that is told to end ends at once, is no longer running, and still returns.
async fn signals(fleet: &Fleet) {
    let begin = Instant::now();
    let started = fleet
        .salt("--async web1 cmd.run 'sleep 600; echo late'")
        .await;
    let jid = started.jid.unwrap();
    loop {
        let told = fleet.salt(&format!("web1 saltutil.term_job {jid}")).await;
        if told.stdout.contains("Signal 15 sent to job JID at pid ") {
            break;
        }
        // The job may not have begun yet.
        assert!(begin.elapsed() < Duration::from_secs(60), "{told:?}");
    }
    loop {
        let kept = fleet
            .salt_run(&format!("jobs.exit_success {jid} --out json"))
            .await;
        if kept.stdout == "{\n    \"web1\": false\n}\n" {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{kept:?}");
        // That command only reads the disk: without a pause the daemons, on the same thread, get no turn.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    fleet.salt_run("jobs.active").await.check("", "", true);
}
