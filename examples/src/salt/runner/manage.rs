//! `manage.*`: which minions answer.

use std::io;
use std::time::Duration;

use salt_proto::{Map, Value};
use salt_state::Args;
use salt_transport::Error;
use salt_transport::client::{Answer, Client, Publish};

use super::{Failure, World};
use crate::salt::connect;
use crate::salt::preview;
use crate::salt::run::NOBODY;
use crate::salt::screen::Screen;

struct Presence {
    up: Vec<String>,
    down: Vec<String>,
}

/// Pings a target. Down is who is accepted, meant and silent.
async fn presence(
    world: &World<'_>,
    args: &Args,
    screen: &mut Screen<'_>,
) -> Result<Presence, Failure> {
    let target = args.get("tgt").cloned().unwrap_or_else(|| "*".into());
    let kind = args.text("tgt_type")?;
    let client = with_patience(world, args)?;
    let mut up = Vec::new();
    match client
        .run(&Publish::new(target.clone(), kind.as_str(), "test.ping"))
        .await
    {
        Ok(mut answers) => {
            while let Some(answer) = answers.next().await? {
                if let Answer::Return(ret) = answer {
                    up.push(ret.id.as_str().to_owned());
                }
            }
        }
        Err(Error::NobodyMatched) => screen.out(NOBODY).map_err(Failure::Screen)?,
        Err(error) => return Err(error.into()),
    }
    up.sort();
    let mut down = preview::minions(world.config, &target, &kind, ":")?;
    down.retain(|id| !up.contains(id));
    Ok(Presence { up, down })
}

/// The client, with the patience that the call asks for.
fn with_patience(world: &World<'_>, args: &Args) -> Result<Client, Failure> {
    let seconds = |name| -> Result<Option<Duration>, Failure> {
        let seconds = args.given(name).map(|_| args.int(name)).transpose()?;
        Ok(seconds.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
    };
    let mut config = world.client.config().clone();
    config.timeout = seconds("timeout")?.unwrap_or(config.timeout);
    config.gather_job_timeout = seconds("gather_job_timeout")?.unwrap_or(config.gather_job_timeout);
    let (dial, master) = connect::way(world.config);
    Ok(Client::new(config, dial, master))
}

pub(super) async fn up(
    world: &World<'_>,
    args: &Args,
    screen: &mut Screen<'_>,
) -> Result<Value, Failure> {
    let presence = presence(world, args, screen).await?;
    Ok(presence.up.iter().collect())
}

pub(super) async fn down(
    world: &World<'_>,
    args: &Args,
    screen: &mut Screen<'_>,
) -> Result<Value, Failure> {
    if args.is_true("removekeys") {
        let text = "manage.down does not delete keys; use salt-key";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text).into());
    }
    let presence = presence(world, args, screen).await?;
    Ok(presence.down.iter().collect())
}

pub(super) async fn status(
    world: &World<'_>,
    args: &Args,
    screen: &mut Screen<'_>,
) -> Result<Value, Failure> {
    let presence = presence(world, args, screen).await?;
    let lists: [(&str, Value); 2] = [
        ("up", presence.up.iter().collect()),
        ("down", presence.down.iter().collect()),
    ];
    Ok(Map::from(lists).into())
}
