//! The command line of `salt-tunnel`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use salt_transport::rendezvous::{Fleet, Relay, RelayConfig};
use salt_transport::{
    AnyOf, Authorities, Channel, Dial as _, ForwardLimits, MasterAddr, Route, Tcp, TcpListen,
    TlsConfig, TlsIdentity, forward, ziti,
};

use super::Way;
use crate::options::{Opt, Parsed};
use crate::{Failure, daemon, signals};

const OPTIONS: &[Opt] = &[
    daemon::VERSION,
    daemon::HELP,
    Opt::value(
        &["-l", "--log-level"],
        "LOG_LEVEL",
        "Console logging log level. One of 'all', 'garbage', 'trace', 'debug', 'profile', 'info', 'warning', \
         'error', 'critical', 'quiet'. Default: 'info'.",
    ),
    daemon::LOG_FILE,
    Opt::value(
        &["--to"],
        "ROUTE",
        "dial: the way to the master: tls://host?ca=…&certificate=…&key=…, ssh://user@host, … pipe: the same; default \
         tcp://127.0.0.1.",
    ),
    Opt::value(&["--from"], "ROUTE", "host: where minions come in."),
    Opt::value(
        &["--publish"],
        "ADDRESS",
        "Salt's publish port on this side. Default: 127.0.0.1:4505.",
    ),
    Opt::value(
        &["--request"],
        "ADDRESS",
        "Salt's request port on this side. Default: 127.0.0.1:4506.",
    ),
    Opt::value(
        &["--listen"],
        "ADDRESS",
        "relay: where to accept. Default: 0.0.0.0:443.",
    ),
    Opt::value(
        &["--certificate"],
        "FILE",
        "relay: its certificate, in PEM.",
    ),
    Opt::value(&["--key"], "FILE", "relay: its key, in PEM."),
    Opt::value(
        &["--ca"],
        "FILE",
        "relay: who made the certificates of masters and minions, in PEM.",
    ),
    Opt::integer(
        &["--max-streams"],
        "N",
        "Streams of each channel at a time. Default: 64 for dial, 10000 for host.",
    ),
    Opt::flag(
        &["--danger-listen-any"],
        "dial: listen on other addresses than loopback, too. Whoever reaches them uses this tunnel's identity.",
    ),
];

const ABOUT: &str = "Carries Salt's two channels over another stream, without looking into them.

  salt-tunnel dial --to ROUTE       for an unmodified minion on this host: its master is 127.0.0.1
  salt-tunnel host --from ROUTE     for an unmodified master on this host, which listens on 127.0.0.1 only
  salt-tunnel relay NAME=CERTIFICATE…  where masters and minions meet that both dial out to it: NAME is what minions
                                    ask for, CERTIFICATE the name in the certificate that may answer to it
  salt-tunnel enrol TOKEN FILE      takes part in an OpenZiti overlay: TOKEN is the file of a one-time token, FILE becomes
                                    the identity for ziti:SERVICE?identity=FILE
  salt-tunnel pipe request|publish  connects standard input and output; what ssh:// runs on the master's host

Every local process may use what `dial` listens on: on TCP the kernel does not tell who connects.";

/// Runs the program.
pub fn main() -> ExitCode {
    daemon::main_with_words(
        "salt-tunnel",
        "COMMAND [options]",
        ABOUT,
        OPTIONS,
        |parsed| {
            daemon::start_logging(parsed, "info")?;
            let runtime = daemon::runtime()?;
            match parsed.words.first().map(String::as_str) {
                Some("dial") => runtime.block_on(dial(parsed)),
                Some("host") => runtime.block_on(host(parsed)),
                Some("enrol") => runtime.block_on(enrol(parsed)),
                Some("relay") => runtime.block_on(relay(parsed)),
                Some("pipe") => runtime.block_on(pipe(parsed)),
                Some(other) => Err(Failure::new(format!(
                    "no command `{other}`; dial, host, relay, enrol or pipe"
                ))
                .with_code(64)),
                None => Err(
                    Failure::new("a command is missing: dial, host, relay, enrol or pipe")
                        .with_code(64),
                ),
            }
        },
    )
}

/// A route on the command line.
fn route<T>(parsed: &Parsed, option: &str, default: Option<&str>) -> Result<T, Failure>
where
    T: std::str::FromStr<Err = salt_transport::RouteError>,
{
    let text = parsed
        .value(option)
        .or(default)
        .ok_or_else(|| Failure::new(format!("{option} is missing")).with_code(64))?;
    text.parse().map_err(|error| {
        let failure = Failure::from(error);
        Failure::new(format!("{option} {text}: {failure}")).with_code(64)
    })
}

fn local(parsed: &Parsed, option: &str, default: &str) -> Result<SocketAddr, Failure> {
    let text = parsed.value(option).unwrap_or(default);
    text.parse()
        .map_err(|_| Failure::new(format!("{option} {text}: expected address:port")).with_code(64))
}

fn limits(parsed: &Parsed, default: usize) -> Result<ForwardLimits, Failure> {
    let streams = parsed
        .number("--max-streams")
        .map_err(|error| Failure::new(error).with_code(64))?;
    Ok(ForwardLimits {
        max_streams: streams.unwrap_or(default),
        ..ForwardLimits::default()
    })
}

/// In front of an unmodified minion.
async fn dial(parsed: &Parsed) -> Result<(), Failure> {
    let way: Way = route(parsed, "--to", None)?;
    let (dialer, master) = way.dialer()?;
    let dialer = Arc::new(dialer);
    let limits = limits(parsed, 64)?;
    let publish = loopback(parsed, "--publish", "127.0.0.1:4505").await?;
    let request = loopback(parsed, "--request", "127.0.0.1:4506").await?;
    tracing::info!(
        publish = %publish.local_addr()?,
        request = %request.local_addr()?,
        to = %way,
        "salt-tunnel is ready for a minion"
    );
    let publish = forward(
        publish,
        Arc::clone(&dialer),
        master.clone(),
        Channel::Publish,
        limits.clone(),
    );
    let request = forward(request, dialer, master, Channel::Request, limits);
    until_told(async { tokio::join!(publish, request) }).await
}

async fn loopback(parsed: &Parsed, option: &str, default: &str) -> Result<TcpListen, Failure> {
    let address = local(parsed, option, default)?;
    if !address.ip().is_loopback() && !parsed.has("--danger-listen-any") {
        return Err(Failure::new(format!(
            "{option} {address} is not loopback: whoever reaches it would use this host's identity. If that is meant, \
             add --danger-listen-any"
        )));
    }
    Tcp::bind(address)
        .await
        .map_err(|error| Failure::new(format!("cannot listen on {address}: {error}")))
}

/// In front of an unmodified master.
async fn host(parsed: &Parsed) -> Result<(), Failure> {
    let from: Route = route(parsed, "--from", None)?;
    let publish = local(parsed, "--publish", "127.0.0.1:4505")?;
    let request = local(parsed, "--request", "127.0.0.1:4506")?;
    let limits = limits(parsed, 10_000)?;
    let listeners = from.listen().await?;
    tracing::info!(%from, %publish, %request, "salt-tunnel is ready for a master");
    let carry = |listener: AnyOf, to: SocketAddr, channel| {
        let master = MasterAddr::new(to.ip().to_string()).ports(to.port(), to.port());
        forward(listener, Arc::new(Tcp), master, channel, limits.clone())
    };
    let publish = carry(listeners.publish, publish, Channel::Publish);
    let request = carry(listeners.request, request, Channel::Request);
    let mut driver = listeners.driver;
    until_told(async { tokio::join!(publish, request, &mut driver) }).await?;
    daemon::farewell(driver).await;
    Ok(())
}

async fn until_told<T>(work: impl Future<Output = T>) -> Result<(), Failure> {
    tokio::select! {
        _ = work => Err(Failure::new("nothing accepts any more")),
        () = signals::terminated() => Ok(()),
    }
}

/// Where masters and minions meet that both dial out.
async fn relay(parsed: &Parsed) -> Result<(), Failure> {
    let listen = local(parsed, "--listen", "0.0.0.0:443")?;
    let file = |option: &str| {
        parsed
            .value(option)
            .ok_or_else(|| Failure::new(format!("{option} is missing")).with_code(64))
    };
    let identity = TlsIdentity::read(file("--certificate")?, file("--key")?)?;
    let config = TlsConfig::new(identity, Authorities::read(file("--ca")?)?);
    let fleets = parsed.words.get(1..).unwrap_or_default();
    if fleets.is_empty() {
        return Err(Failure::new(
            "relay for whom? NAME=CERTIFICATE, such as fleet-a=salt.example.com",
        )
        .with_code(64));
    }
    let mut relay = RelayConfig::default();
    for word in fleets {
        let wrong = || Failure::new(format!("`{word}`: expected NAME=CERTIFICATE")).with_code(64);
        let (name, certificate) = word.split_once('=').ok_or_else(wrong)?;
        let name = name.parse().map_err(|_| {
            Failure::new(format!("`{name}`: a name is 1 to 64 of a-z, 0-9, - and .")).with_code(64)
        })?;
        relay = relay.fleet(name, Fleet::new(certificate));
    }
    let listener = Tcp::bind(listen)
        .await
        .map_err(|error| Failure::new(format!("cannot listen on {listen}: {error}")))?;
    tracing::info!(listen = %listener.local_addr()?, fleets = fleets.join(" "), "salt-tunnel is a relay");
    until_told(Relay::tls(listener, &config, relay)?.serve()).await
}

/// Becomes an identity of an overlay.
async fn enrol(parsed: &Parsed) -> Result<(), Failure> {
    let [_, token, file] = parsed.words.as_slice() else {
        return Err(Failure::new(
            "enrol what? TOKEN FILE, a one-time token and the identity to write",
        )
        .with_code(64));
    };
    let jwt = std::fs::read_to_string(token)
        .map_err(|error| Failure::new(format!("cannot read {token}: {error}")))?;
    ziti::Identity::enrol(jwt.trim(), file).await?;
    println!("enrolled; the identity is in {file}, and the token is spent");
    Ok(())
}

/// Standard input and output, for a program that carries them elsewhere.
async fn pipe(parsed: &Parsed) -> Result<(), Failure> {
    let channel = match parsed.words.get(1).map(String::as_str) {
        Some("request") => Channel::Request,
        Some("publish") => Channel::Publish,
        _ => return Err(Failure::new("pipe what? request or publish").with_code(64)),
    };
    let way: Way = route(parsed, "--to", Some("tcp://127.0.0.1"))?;
    let (dialer, master) = way.dialer()?;
    let mut far = dialer.dial(&master, channel).await?;
    let mut near = tokio::io::join(tokio::io::stdin(), tokio::io::stdout());
    tokio::io::copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}
