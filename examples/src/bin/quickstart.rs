//! A master and three minions in one process, over real sockets on loopback and in a directory that goes away: what
//! happens between them is printed as it happens.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "programs talk to people"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use salt_crypto::FingerprintHash;
use salt_examples::{Failure, rng};
use salt_proto::{Job, Map, Target, Value};
use salt_transport::pki::{KeyPairOptions, KeyStatus};
use salt_transport::{
    Master, MasterAddr, MasterSettings, Minion, MinionHandle, MinionSettings, MinionStatus, PkiDir,
    Tcp,
};

/// The minions: id, role, city.
const MINIONS: [(&str, &str, &str); 3] = [
    ("web1", "web", "Lisbon"),
    ("web2", "web", "Oslo"),
    ("db1", "database", "Oslo"),
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let dir = Scratch::new();
    match tell(&dir.0).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("quickstart: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn tell(dir: &Path) -> Result<(), Failure> {
    let began = Instant::now();
    println!(
        "Salt in Rust: a master and three minions, in {}\n",
        dir.display()
    );

    println!("1. The master makes its RSA key and listens on two ports of loopback:");
    let pki = PkiDir::open(dir.join("master/pki"))?;
    let identity = pki.identity("master", &KeyPairOptions::default(), &mut rng())?;
    let (publish, request) = (
        Tcp::bind("127.0.0.1:0").await?,
        Tcp::bind("127.0.0.1:0").await?,
    );
    let ports = (request.local_addr()?.port(), publish.local_addr()?.port());
    println!(
        "     127.0.0.1:{} for requests, 127.0.0.1:{} for publishing (Salt's are 4506 and 4505)",
        ports.0, ports.1
    );
    let fingerprint = identity.public_key().fingerprint(FingerprintHash::Sha256);
    println!("     its key's fingerprint is {fingerprint}\n");

    let keys = pki.minion_keys();
    let (master, serving) = Master::builder(identity, pki.minion_keys())
        .settings(MasterSettings {
            cache_dir: Some(dir.join("master/cache")),
            ..MasterSettings::default()
        })
        .pillar(|query| Map::from([("secret", format!("only for {}", query.id))]))
        .core(|core| core.publish_port = ports.1)
        .serve(publish, request)?;
    let serving = tokio::spawn(serving);

    println!(
        "2. Three minions make keys of their own and show them to the master. Each was told the master's"
    );
    println!("   fingerprint, so none of them would listen to another one:");
    let mut minions = Vec::new();
    for (id, role, city) in MINIONS {
        minions.push(start_minion(dir, id, role, city, fingerprint.to_string(), ports).await?);
    }
    for minion in &minions {
        minion.until(MinionStatus::Pending).await;
        println!(
            "     {:4}  key is pending: the master keeps it and answers nothing but \"wait\"",
            minion.id()
        );
    }

    println!("\n3. Somebody accepts the keys (`salt-key -A` moves these files):");
    for id in keys.list(KeyStatus::Pending)? {
        keys.change(&id, KeyStatus::Pending, KeyStatus::Accepted)?;
        println!("     pki/minions_pre/{id} -> pki/minions/{id}");
    }
    for minion in &minions {
        minion.until_receiving().await;
        println!(
            "     {:4}  signed in: it holds a session key for its requests, and the key of all publishes",
            minion.id()
        );
    }

    println!(
        "\n4. Jobs. A job is sealed and signed once, sent to everyone, and each minion decides whether it is meant:"
    );
    ask(
        &master,
        "salt '*' test.ping",
        Target::glob("*"),
        "test.ping",
        vec![],
        3,
    )
    .await?;
    ask(
        &master,
        "salt 'web*' quickstart.city",
        Target::glob("web*"),
        "quickstart.city",
        vec![],
        2,
    )
    .await?;
    let oslo = Target::parse("grain", &"city:Oslo".into(), ":")?;
    ask(
        &master,
        "salt -G city:Oslo test.echo 'god dag'",
        oslo,
        "test.echo",
        vec!["god dag".into()],
        2,
    )
    .await?;
    let compound: Target = "G@role:web and not G@city:Oslo".parse()?;
    ask(
        &master,
        "salt -C 'G@role:web and not G@city:Oslo' quickstart.secret",
        compound,
        "quickstart.secret",
        vec![],
        1,
    )
    .await?;

    println!(
        "\n5. The key of web2 is deleted (`salt-key -d web2`): nothing is served under it any more."
    );
    master.revoke(&"web2".parse()?)?;
    ask(
        &master,
        "salt '*' test.ping",
        Target::glob("*"),
        "test.ping",
        vec![],
        2,
    )
    .await?;

    for minion in &minions {
        minion.stop().await;
    }
    master.stop();
    tokio::time::timeout(Duration::from_secs(2), serving)
        .await
        .ok();
    println!(
        "\nDone in {:.1} s. Next: `salt-master -c DIR` and `salt-minion -c DIR` read Salt's own configuration.",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

async fn start_minion(
    dir: &Path,
    id: &str,
    role: &str,
    city: &str,
    fingerprint: String,
    (request, publish): (u16, u16),
) -> Result<MinionHandle, Failure> {
    let pki = PkiDir::open(dir.join(id).join("pki"))?;
    let identity = pki.identity("minion", &KeyPairOptions::default(), &mut rng())?;
    let city = city.to_owned();
    let builder = Minion::builder(id.parse()?, identity)
        .keep_in(pki, dir.join(id).join("cache"))?
        .master_fingerprint(fingerprint.parse()?)
        .grains(Map::from([("role", role), ("city", city.as_str())]))
        .settings(MinionSettings::default())
        .config(|config| config.waits.pending = Duration::from_millis(100));
    let handle = builder.handle();
    let me = handle.clone();
    let minion = builder
        .handler(move |job: Job| {
            let (me, city) = (me.clone(), city.clone());
            async move {
                match job.function.as_str() {
                    "test.ping" => job.ok(true),
                    "test.echo" => job.ok(job.args.first().cloned().unwrap_or_default()),
                    "quickstart.city" => job.ok(city),
                    // What the master compiled for this minion alone, encrypted to its key.
                    "quickstart.secret" => {
                        job.ok(me.pillar().get("secret").cloned().unwrap_or_default())
                    }
                    _ => job.unknown_function(),
                }
            }
        })
        .build(Tcp, MasterAddr::new("127.0.0.1").ports(request, publish))?;
    tokio::spawn(minion.run());
    Ok(handle)
}

async fn ask(
    master: &Master,
    shown: &str,
    target: Target,
    function: &str,
    args: Vec<Value>,
    expected: usize,
) -> Result<(), Failure> {
    println!("   $ {shown}");
    let mut returns = master
        .publish(target, function, args)
        .await?
        .within(Duration::from_secs(10));
    let mut count = 0;
    while let Some(ret) = returns.next().await {
        println!("     {:4}  {}", ret.id, ret.value);
        count += 1;
    }
    if count != expected {
        let missing: Vec<_> = returns.missing().map(ToString::to_string).collect();
        return Err(Failure::new(format!(
            "{expected} answers expected, {count} came; missing: {}",
            missing.join(", ")
        )));
    }
    Ok(())
}

/// A directory that goes away at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let seed = Instant::now().elapsed().as_nanos();
        Self(std::env::temp_dir().join(format!("salt-quickstart-{}-{seed}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
