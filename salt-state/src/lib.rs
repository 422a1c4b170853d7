//! Salt's state engine: SLS in, ordered chunks out, and the modules that carry them out.

pub mod args;
pub mod beacons;
mod bridge;
pub mod compile;
mod context;
pub mod data;
mod diagnostic;
mod diff;
pub mod engine;
mod engines;
mod error;
mod files;
mod fnmatch;
mod foreign;
pub mod functions;
pub mod grains;
pub mod jinja;
pub mod pillar;
mod plan;
pub mod python;
mod registry;
pub mod render;
pub mod scheduler;
mod sources;
pub mod states;
mod system;
pub mod yaml;
mod zone;

pub use args::{Args, Signature};
pub use beacons::{BeaconEvent, Beacons};
pub use bridge::{Bridge, BridgeSettings};
pub use context::{
    AskMaster, CompilePillar, Context, FireLocal, MinionData, Progress, RunningJobs, SignalJob,
    Starting,
};
pub use diagnostic::{Diagnostic, Place, Stage};
pub use diff::unified_diff;
pub use engines::Engines;
pub use error::Error;
pub use fnmatch::fnmatch;
pub use foreign::{Catalog, Described, Foreign, ForeignKind};
pub use plan::{Apply, Changes, Done, Outcome, Plan};
pub use registry::{CallError, Function, JobOutcome, JobsOutcome, Registry, says_failure};
pub use scheduler::Scheduler;
pub use sources::{MemorySources, Roots, Sources};
pub use states::{Check, ModAggregate, ModInit, State};
pub use system::{
    Action, Asking, Children, Command, CommandError, Conversation, Exit, FakeSystem, FileKind,
    FilesystemUsage, Group, Host, HostNames, Identity, Interface, InterfaceAddress, Kernel,
    Metadata, Node, Observe, Output, Protocol, READ_LIMIT, Recorder, Rehearsal, Rooted, System,
    Timestamp, User, WriteOptions, addresses_of, errno_text, host_names, hosts_addresses,
};
pub use zone::Zone;
