//! Typed views of every load, and the closed sets of commands.
//!
//! A load is a map whose `cmd` names a command. [`ClearRequest`] and
//! [`AesRequest`] are the whole of what a master serves: a name outside of them
//! reaches no code. Each view holds the fields its command has in Salt 3006 to
//! 3008 and keeps every other key in `extra`, so that a newer peer's additions
//! survive a proxy.
//!
//! Loads carry keys, tokens, pillar and file content, so the `Debug` form of a
//! view shows which keys are there and not what they say.

use std::fmt;

use crate::id::{InvalidId, MinionId};
use crate::ret::Return;
use crate::target::TargetError;
use crate::value::{Map, Value};

pub(crate) mod field;

mod auth;
mod file;
mod pillar;
mod publish;
mod relay;

pub use auth::{AuthAnswer, AuthReply, AuthRequest, Grant};
pub use file::{FileCommand, FileEnvs, FileReceive, FileRequest, ListRequest, ServeFile};
pub use pillar::{MasterOpts, MasterTops, PillarRequest};
pub use publish::{GetToken, MkToken, PublishReply, PublishRequest, RunnerRequest, WheelRequest};
pub use relay::{
    EventRequest, FiredEvents, MineDelete, MineFlush, MineGet, MineUpdate, MinionPublish,
    MinionRunner, PublishReturns, RegisterResources, RevokeAuth, SyndicReturn, VerifyMinion,
};

/// Why a load is not what its command demands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// `cmd` is missing or not one that may be sent this way.
    #[error("unknown command")]
    UnknownCommand,
    /// A field is missing or has the wrong type.
    #[error("`{field}` of {command} is missing or malformed")]
    Field {
        /// The command.
        command: &'static str,
        /// The field.
        field: &'static str,
    },
    /// The load's `id` is not a minion id.
    #[error("refused minion id")]
    Id(#[from] InvalidId),
    /// The target of a job can match nobody.
    #[error("refused target of {command}")]
    Target {
        /// The command.
        command: &'static str,
        /// Why.
        source: TargetError,
    },
}

/// Declares a view: its fields, how they are read from a map and written back.
macro_rules! load {
    (
        $(#[$doc:meta])*
        $name:ident = $command:literal {
            $( $(#[$field_doc:meta])* $field:ident: $ty:ty = $key:literal, )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq)]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $ty, )*
            /// Every other key, as it came.
            pub extra: $crate::value::Map,
        }

        impl $name {
            /// Reads the fields out of a load.
            ///
            /// # Errors
            ///
            /// If a necessary field is missing, or a field has the wrong type.
            pub fn from_map(map: $crate::value::Map) -> Result<Self, $crate::message::LoadError> {
                $( let mut $field = None; )*
                let mut extra = $crate::value::Map::new();
                for (key, value) in map {
                    match key.as_str() {
                        Some("cmd") => {}
                        $( Some($key) => $field = Some(value), )*
                        _ => {
                            extra.insert(key, value);
                        }
                    }
                }
                Ok(Self {
                    $(
                        $field: $crate::message::field::Field::read($field).ok_or(
                            $crate::message::LoadError::Field { command: $command, field: $key },
                        )?,
                    )*
                    extra,
                })
            }

            /// The load; its command first, unknown keys last.
            pub fn to_map(&self) -> $crate::value::Map {
                let mut map = $crate::value::Map::from([("cmd", $command)]);
                $(
                    if let Some(value) = $crate::message::field::Field::write(&self.$field) {
                        map.insert($key, value);
                    }
                )*
                map.extend(self.extra.iter().map(|(k, v)| (k.clone(), v.clone())));
                map
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $crate::message::fmt_keys(stringify!($name), &self.to_map(), f)
            }
        }
    };
}
pub(crate) use load;

/// Shows the keys of a load, and the command, but no other value.
pub(crate) fn fmt_keys(name: &str, map: &Map, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{name} ")?;
    f.debug_set()
        .entries(map.keys().filter(|key| key.as_str() != Some("cmd")))
        .finish()
}

macro_rules! commands {
    ($(#[$doc:meta])* $name:ident { $( $(#[$variant_doc:meta])* $variant:ident = $word:literal, )* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $( $(#[$variant_doc])* $variant, )*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$( Self::$variant ),*];

            /// The command of that name, if it is one of these.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $( $word => Some(Self::$variant), )*
                    _ => None,
                }
            }

            /// The word on the wire.
            pub fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

commands! {
    /// What may be asked in the clear. Only sign-in needs no proof of who asks;
    /// the others carry a key or a token of their own, `ping` has no effect.
    ClearCommand {
        /// Sign-in.
        Auth = "_auth",
        /// Echoes the load.
        Ping = "ping",
        /// Publishes a job; proved by a key file of the master's host or a token.
        Publish = "publish",
        /// Looks up a token.
        GetToken = "get_token",
        /// Makes a token from credentials.
        MkToken = "mk_token",
        /// Runs a wheel function and waits for it.
        Wheel = "wheel",
        /// Starts a runner.
        Runner = "runner",
    }
}

commands! {
    /// What a minion may ask in a sealed request.
    AesCommand {
        /// Internal to Salt's masters; answered as an error.
        VerifyMinion = "verify_minion",
        /// The top file data of master-side modules.
        MasterTops = "_master_tops",
        /// The master's options that concern states.
        MasterOpts = "_master_opts",
        /// Reads other minions' mines.
        MineGet = "_mine_get",
        /// Stores into the own mine.
        Mine = "_mine",
        /// Removes a function from the own mine.
        MineDelete = "_mine_delete",
        /// Empties the own mine.
        MineFlush = "_mine_flush",
        /// Sends a part of a file to the master.
        FileRecv = "_file_recv",
        /// Compiled pillar.
        Pillar = "_pillar",
        /// Fires events on the master's bus.
        MinionEvent = "_minion_event",
        /// A job's result.
        Return = "_return",
        /// Results from a syndic.
        SyndicReturn = "_syndic_return",
        /// Runs a runner on the master, where peers are allowed to.
        MinionRunner = "minion_runner",
        /// Asks for the returns of a peer publish.
        PubRet = "pub_ret",
        /// Publishes to other minions, where peers are allowed to.
        MinionPub = "minion_pub",
        /// Publishes to other minions and waits.
        MinionPublish = "minion_publish",
        /// Deletes the own key.
        RevokeAuth = "revoke_auth",
        /// A part of a file.
        ServeFile = "_serve_file",
        /// Where a file is.
        FileFind = "_file_find",
        /// The hash of a file.
        FileHash = "_file_hash",
        /// The hash and status of a file.
        FileHashAndStat = "_file_hash_and_stat",
        /// The files of an environment.
        FileList = "_file_list",
        /// The empty directories of an environment.
        FileListEmptydirs = "_file_list_emptydirs",
        /// The directories of an environment.
        DirList = "_dir_list",
        /// The symbolic links of an environment.
        SymlinkList = "_symlink_list",
        /// The environments.
        FileEnvs = "_file_envs",
        /// Registers resources (Salt 3008).
        RegisterResources = "_register_resources",
    }
}

/// A request in the clear.
#[derive(Clone, PartialEq, Debug)]
pub enum ClearRequest {
    /// Sign-in.
    Auth(AuthRequest),
    /// Echo; the whole load.
    Ping(Ping),
    /// Publish a job.
    Publish(PublishRequest),
    /// Look up a token.
    GetToken(GetToken),
    /// Make a token.
    MkToken(MkToken),
    /// Run a wheel function.
    Wheel(WheelRequest),
    /// Start a runner.
    Runner(RunnerRequest),
}

load! {
    /// `ping`: the master answers with the load itself.
    Ping = "ping" {}
}

impl ClearRequest {
    /// Reads a load that came in a clear envelope.
    ///
    /// # Errors
    ///
    /// [`LoadError::UnknownCommand`] for everything outside of [`ClearCommand`];
    /// stock masters answer `{}` then.
    pub fn from_map(map: Map) -> Result<Self, LoadError> {
        let command = map.str("cmd").and_then(ClearCommand::from_name);
        Ok(match command.ok_or(LoadError::UnknownCommand)? {
            ClearCommand::Auth => Self::Auth(AuthRequest::from_map(map)?),
            ClearCommand::Ping => Self::Ping(Ping::from_map(map)?),
            ClearCommand::Publish => Self::Publish(PublishRequest::from_map(map)?),
            ClearCommand::GetToken => Self::GetToken(GetToken::from_map(map)?),
            ClearCommand::MkToken => Self::MkToken(MkToken::from_map(map)?),
            ClearCommand::Wheel => Self::Wheel(WheelRequest::from_map(map)?),
            ClearCommand::Runner => Self::Runner(RunnerRequest::from_map(map)?),
        })
    }

    /// The load.
    pub fn to_map(&self) -> Map {
        match self {
            Self::Auth(load) => load.to_map(),
            Self::Ping(load) => load.to_map(),
            Self::Publish(load) => load.to_map(),
            Self::GetToken(load) => load.to_map(),
            Self::MkToken(load) => load.to_map(),
            Self::Wheel(load) => load.to_map(),
            Self::Runner(load) => load.to_map(),
        }
    }

    /// Which command this is.
    pub fn command(&self) -> ClearCommand {
        match self {
            Self::Auth(_) => ClearCommand::Auth,
            Self::Ping(_) => ClearCommand::Ping,
            Self::Publish(_) => ClearCommand::Publish,
            Self::GetToken(_) => ClearCommand::GetToken,
            Self::MkToken(_) => ClearCommand::MkToken,
            Self::Wheel(_) => ClearCommand::Wheel,
            Self::Runner(_) => ClearCommand::Runner,
        }
    }
}

/// What every sealed request carries besides its command's fields.
///
/// Taken out of the load before the command sees it.
#[derive(Clone, PartialEq)]
pub struct Proof {
    /// The `id` inside the load, which must equal the envelope's.
    pub id: Option<MinionId>,
    /// 32 hexadecimal digits that the answer must begin with.
    pub nonce: Option<Vec<u8>>,
    /// When the request was made, in Unix seconds.
    pub ts: Option<i64>,
    /// The proof that the sender holds the minion's key: its X9.31 block of `salt`.
    pub tok: Option<Vec<u8>>,
    /// The signature over [`signed_bytes`](crate::ret::signed_bytes), with
    /// `minion_sign_messages`.
    pub sig: Option<Vec<u8>>,
}

impl Proof {
    /// Takes `nonce`, `ts`, `tok` and `sig` out of a load and reads its `id`,
    /// which stays.
    ///
    /// # Errors
    ///
    /// If one of them has the wrong type, or the id is no minion id.
    pub fn take(load: &mut Map) -> Result<Self, LoadError> {
        let (mut nonce, mut ts, mut tok, mut sig) = (None, None, None, None);
        load.retain(|key, value| {
            let slot = match key.as_str() {
                Some("nonce") => &mut nonce,
                Some("ts") => &mut ts,
                Some("tok") => &mut tok,
                Some("sig") => &mut sig,
                _ => return true,
            };
            *slot = Some(std::mem::take(value));
            false
        });
        let refused = |field| LoadError::Field {
            command: "a sealed request",
            field,
        };
        let bytes = |value: Option<Value>, field| match value {
            None => Ok(None),
            Some(value) => field::bytes(value).map(Some).ok_or_else(|| refused(field)),
        };
        Ok(Self {
            id: load.get("id").map(MinionId::try_from).transpose()?,
            nonce: bytes(nonce, "nonce")?,
            ts: match ts {
                None => None,
                Some(Value::Int(ts)) => Some(ts),
                // Salt compares it with time.time(), so a float is as good.
                Some(Value::Float(ts)) if ts.is_finite() => {
                    #[expect(
                        clippy::cast_possible_truncation,
                        reason = "saturates, and is only compared"
                    )]
                    let ts = ts.floor() as i64;
                    Some(ts)
                }
                Some(_) => return Err(refused("ts")),
            },
            tok: bytes(tok, "tok")?,
            sig: bytes(sig, "sig")?,
        })
    }

    /// Puts the fields into a load: `id` where it stands already or at the end,
    /// the others at the end.
    pub fn put(&self, load: &mut Map) {
        if let Some(id) = &self.id {
            load.insert("id", id);
        }
        if let Some(nonce) = &self.nonce {
            load.insert("nonce", field::text_or_bytes(nonce));
        }
        if let Some(ts) = self.ts {
            load.insert("ts", ts);
        }
        if let Some(tok) = &self.tok {
            load.insert("tok", tok.as_slice());
        }
        if let Some(sig) = &self.sig {
            load.insert("sig", sig.as_slice());
        }
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof")
            .field("id", &self.id)
            .field("ts", &self.ts)
            .finish_non_exhaustive()
    }
}

/// A sealed request of a minion.
///
/// Made from the load after [`Proof::take`]; the `id` some of them repeat is in
/// `extra` and grants nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum AesRequest {
    /// Internal to Salt's masters.
    VerifyMinion(VerifyMinion),
    /// Top file data of master-side modules.
    MasterTops(MasterTops),
    /// The master's options that concern states.
    MasterOpts(MasterOpts),
    /// Read other minions' mines.
    MineGet(MineGet),
    /// Store into the own mine.
    Mine(MineUpdate),
    /// Remove a function from the own mine.
    MineDelete(MineDelete),
    /// Empty the own mine.
    MineFlush(MineFlush),
    /// A part of a file for the master.
    FileReceive(FileReceive),
    /// Compiled pillar.
    Pillar(PillarRequest),
    /// Events.
    MinionEvent(EventRequest),
    /// A result.
    Return(Box<Return>),
    /// Results from a syndic.
    SyndicReturn(SyndicReturn),
    /// Run a runner.
    MinionRunner(MinionRunner),
    /// The returns of a peer publish.
    PublishReturns(PublishReturns),
    /// Publish to peers; the reply is the job id and who is meant.
    MinionPub(MinionPublish),
    /// Publish to peers and wait; the reply is the results.
    MinionPublish(MinionPublish),
    /// Delete the own key.
    RevokeAuth(RevokeAuth),
    /// A part of a file.
    ServeFile(ServeFile),
    /// A question about one file.
    File(FileCommand, FileRequest),
    /// A question about an environment.
    List(AesCommand, ListRequest),
    /// The environments.
    FileEnvs(FileEnvs),
    /// Register resources (3008).
    RegisterResources(RegisterResources),
}

impl AesRequest {
    /// Reads a load that came in a sealed envelope.
    ///
    /// # Errors
    ///
    /// [`LoadError::UnknownCommand`] for everything outside of [`AesCommand`];
    /// stock masters answer `{}` then, and an empty text to malformed fields.
    pub fn from_map(map: Map) -> Result<Self, LoadError> {
        let command = map.str("cmd").and_then(AesCommand::from_name);
        let command = command.ok_or(LoadError::UnknownCommand)?;
        Ok(match command {
            AesCommand::VerifyMinion => Self::VerifyMinion(VerifyMinion::from_map(map)?),
            AesCommand::MasterTops => Self::MasterTops(MasterTops::from_map(map)?),
            AesCommand::MasterOpts => Self::MasterOpts(MasterOpts::from_map(map)?),
            AesCommand::MineGet => Self::MineGet(MineGet::from_map(map)?),
            AesCommand::Mine => Self::Mine(MineUpdate::from_map(map)?),
            AesCommand::MineDelete => Self::MineDelete(MineDelete::from_map(map)?),
            AesCommand::MineFlush => Self::MineFlush(MineFlush::from_map(map)?),
            AesCommand::FileRecv => Self::FileReceive(FileReceive::from_map(map)?),
            AesCommand::Pillar => Self::Pillar(PillarRequest::from_map(map)?),
            AesCommand::MinionEvent => Self::MinionEvent(EventRequest::from_map(map)?),
            AesCommand::Return => Self::Return(Box::new(Return::from_map(map)?)),
            AesCommand::SyndicReturn => Self::SyndicReturn(SyndicReturn::from_map(map)?),
            AesCommand::MinionRunner => Self::MinionRunner(MinionRunner::from_map(map)?),
            AesCommand::PubRet => Self::PublishReturns(PublishReturns::from_map(map)?),
            AesCommand::MinionPub => Self::MinionPub(MinionPublish::from_map(map)?),
            AesCommand::MinionPublish => Self::MinionPublish(MinionPublish::from_map(map)?),
            AesCommand::RevokeAuth => Self::RevokeAuth(RevokeAuth::from_map(map)?),
            AesCommand::ServeFile => Self::ServeFile(ServeFile::from_map(map)?),
            AesCommand::FileFind => Self::File(FileCommand::Find, FileRequest::from_map(map)?),
            AesCommand::FileHash => Self::File(FileCommand::Hash, FileRequest::from_map(map)?),
            AesCommand::FileHashAndStat => {
                Self::File(FileCommand::HashAndStat, FileRequest::from_map(map)?)
            }
            AesCommand::FileList
            | AesCommand::FileListEmptydirs
            | AesCommand::DirList
            | AesCommand::SymlinkList => Self::List(command, ListRequest::from_map(map)?),
            AesCommand::FileEnvs => Self::FileEnvs(FileEnvs::from_map(map)?),
            AesCommand::RegisterResources => {
                Self::RegisterResources(RegisterResources::from_map(map)?)
            }
        })
    }

    /// Which command this is.
    pub fn command(&self) -> AesCommand {
        match self {
            Self::VerifyMinion(_) => AesCommand::VerifyMinion,
            Self::MasterTops(_) => AesCommand::MasterTops,
            Self::MasterOpts(_) => AesCommand::MasterOpts,
            Self::MineGet(_) => AesCommand::MineGet,
            Self::Mine(_) => AesCommand::Mine,
            Self::MineDelete(_) => AesCommand::MineDelete,
            Self::MineFlush(_) => AesCommand::MineFlush,
            Self::FileReceive(_) => AesCommand::FileRecv,
            Self::Pillar(_) => AesCommand::Pillar,
            Self::MinionEvent(_) => AesCommand::MinionEvent,
            Self::Return(_) => AesCommand::Return,
            Self::SyndicReturn(_) => AesCommand::SyndicReturn,
            Self::MinionRunner(_) => AesCommand::MinionRunner,
            Self::PublishReturns(_) => AesCommand::PubRet,
            Self::MinionPub(_) => AesCommand::MinionPub,
            Self::MinionPublish(_) => AesCommand::MinionPublish,
            Self::RevokeAuth(_) => AesCommand::RevokeAuth,
            Self::ServeFile(_) => AesCommand::ServeFile,
            Self::File(command, _) => command.command(),
            Self::List(command, _) => *command,
            Self::FileEnvs(_) => AesCommand::FileEnvs,
            Self::RegisterResources(_) => AesCommand::RegisterResources,
        }
    }

    /// The load, without what [`Proof`] adds.
    pub fn to_map(&self) -> Map {
        let mut map = match self {
            Self::VerifyMinion(load) => load.to_map(),
            Self::MineFlush(load) => load.to_map(),
            Self::FileEnvs(load) => load.to_map(),
            Self::MasterTops(load) => load.to_map(),
            Self::MasterOpts(load) => load.to_map(),
            Self::MineGet(load) => load.to_map(),
            Self::Mine(load) => load.to_map(),
            Self::MineDelete(load) => load.to_map(),
            Self::FileReceive(load) => load.to_map(),
            Self::Pillar(load) => load.to_map(),
            Self::MinionEvent(load) => load.to_map(),
            Self::Return(load) => load.to_map(),
            Self::SyndicReturn(load) => load.to_map(),
            Self::MinionRunner(load) => load.to_map(),
            Self::PublishReturns(load) => load.to_map(),
            Self::MinionPub(load) | Self::MinionPublish(load) => load.to_map(),
            Self::RevokeAuth(load) => load.to_map(),
            Self::ServeFile(load) => load.to_map(),
            Self::File(_, load) => load.to_map(),
            Self::List(_, load) => load.to_map(),
            Self::RegisterResources(load) => load.to_map(),
        };
        map.insert("cmd", self.command().name());
        map
    }
}

/// Any request: what a message of either envelope asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// In the clear.
    Clear(ClearRequest),
    /// Sealed.
    Aes(AesRequest),
}

impl From<ClearRequest> for Request {
    fn from(request: ClearRequest) -> Self {
        Self::Clear(request)
    }
}

impl From<AesRequest> for Request {
    fn from(request: AesRequest) -> Self {
        Self::Aes(request)
    }
}
