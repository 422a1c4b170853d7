//! Running a child: identity, umask, deadline, and both output streams without
//! a thread for each.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{self, Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Gid, Pid, PidfdFlags, Signal, Uid, WaitId, WaitIdOptions, waitid};

use super::children::{Children, Running};

use crate::system::{Command, CommandError, Exit, Observe, Output};

/// How long a child may take to obey the first signal after its deadline.
const GRACE: Duration = Duration::from_secs(1);

/// Runs a command to its end, below `root` if one is given.
pub(in crate::system) fn run(
    command: &Command,
    accounts: &dyn Observe,
    root: Option<&Path>,
    job: Option<&Arc<Children>>,
) -> Result<Output, CommandError> {
    not_interrupted(job)?;
    let streams = Streams::new(command).map_err(CommandError::Stream)?;
    let (child, ours) = streams.spawn(command, accounts, root)?;
    Watch::new(command, child, ours, job).finish()
}

/// Starts a command whose output nobody reads.
///
/// It outlives the job that started it, as it does in Salt.
pub(in crate::system) fn start(
    command: &Command,
    accounts: &dyn Observe,
    root: Option<&Path>,
    job: Option<&Arc<Children>>,
) -> Result<u32, CommandError> {
    not_interrupted(job)?;
    let mut prepared = prepare(command, accounts);
    prepared
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = spawn(prepared, command, accounts, root)?;
    let pid = child.id();
    // Somebody has to collect it, or it stays as a zombie while we live.
    std::thread::spawn(move || child.wait());
    Ok(pid)
}

pub(super) fn not_interrupted(job: Option<&Arc<Children>>) -> Result<(), CommandError> {
    match job.and_then(|job| job.ended_by()) {
        Some(signal) => Err(CommandError::Interrupted { signal }),
        None => Ok(()),
    }
}

/// The child's ends and ours.
pub(super) struct Streams {
    stdin: Option<(io::PipeReader, io::PipeWriter)>,
    stdout: (io::PipeReader, io::PipeWriter),
    stderr: Option<(io::PipeReader, io::PipeWriter)>,
}

/// Our ends of a child's streams.
pub(super) struct Ours {
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: Option<OwnedFd>,
}

impl Streams {
    pub(super) fn new(command: &Command) -> io::Result<Self> {
        Ok(Self {
            stdin: command.stdin.as_ref().map(|_| io::pipe()).transpose()?,
            stdout: io::pipe()?,
            stderr: (!command.merge_stderr).then(io::pipe).transpose()?,
        })
    }

    pub(super) fn spawn(
        self,
        command: &Command,
        accounts: &dyn Observe,
        root: Option<&Path>,
    ) -> Result<(Child, Ours), CommandError> {
        let mut prepared = prepare(command, accounts);
        let mut stdin = None;
        match self.stdin {
            Some((theirs, ours)) => {
                prepared.stdin(theirs);
                stdin = Some(OwnedFd::from(ours));
            }
            None => {
                prepared.stdin(Stdio::null());
            }
        }
        let (stdout, theirs) = self.stdout;
        let mut stderr = None;
        match self.stderr {
            Some((ours, theirs)) => {
                prepared.stderr(theirs);
                stderr = Some(OwnedFd::from(ours));
            }
            None => {
                prepared.stderr(theirs.try_clone().map_err(CommandError::Stream)?);
            }
        }
        prepared.stdout(theirs);
        let ours = Ours {
            stdin,
            stdout: OwnedFd::from(stdout),
            stderr,
        };
        for stream in [
            ours.stdin.as_ref(),
            Some(&ours.stdout),
            ours.stderr.as_ref(),
        ]
        .into_iter()
        .flatten()
        {
            rustix::io::ioctl_fionbio(stream, true)
                .map_err(|error| CommandError::Stream(error.into()))?;
        }
        // `prepared` holds the child's ends; it is gone when this returns, so that
        // the end of file is seen when the child closes them.
        Ok((spawn(prepared, command, accounts, root)?, ours))
    }
}

/// The child as the standard library describes it, streams aside.
fn prepare(command: &Command, accounts: &dyn Observe) -> process::Command {
    let mut prepared = process::Command::new(&command.program);
    prepared
        .args(&command.args)
        .env_clear()
        .envs(command.environment(accounts.environment()))
        // Its own group, so that a deadline reaches its children too.
        .process_group(0);
    if let Some(cwd) = &command.cwd {
        prepared.current_dir(cwd);
    }
    prepared
}

/// Whom a child runs as.
struct RunAs {
    uid: Option<Uid>,
    gid: Option<Gid>,
    groups: Option<Vec<Gid>>,
}

impl RunAs {
    fn of(command: &Command, accounts: &dyn Observe) -> Result<Self, CommandError> {
        let unknown = |name: &str| CommandError::UnknownUser(name.to_owned());
        let mut this = Self {
            uid: None,
            gid: None,
            groups: None,
        };
        if let Some(name) = &command.user {
            let user = accounts
                .user(name)
                .map_err(CommandError::Stream)?
                .ok_or_else(|| unknown(name))?;
            let mut groups = vec![Gid::from_raw(user.gid)];
            for group in accounts.groups().map_err(CommandError::Stream)? {
                if group.gid != user.gid && group.members.contains(name) {
                    groups.push(Gid::from_raw(group.gid));
                }
            }
            this.uid = Some(Uid::from_raw(user.uid));
            this.gid = Some(Gid::from_raw(user.gid));
            this.groups = Some(groups);
        }
        if let Some(name) = &command.group {
            let group = accounts
                .group(name)
                .map_err(CommandError::Stream)?
                .ok_or_else(|| unknown(name))?;
            this.gid = Some(Gid::from_raw(group.gid));
        }
        Ok(this)
    }

    /// Takes this identity on, in the calling thread only.
    fn assume(&self) -> rustix::io::Result<()> {
        if let Some(groups) = &self.groups
            && rustix::process::geteuid().is_root()
        {
            rustix::thread::set_thread_groups(groups)?;
        }
        if let Some(gid) = self.gid {
            rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        }
        if let Some(uid) = self.uid {
            rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        }
        Ok(())
    }
}

/// Starts the child. Linux keeps credentials, umask and root directory for each
/// thread, and a child takes them from the thread that starts it: a thread that lives
/// for one start can take on all of them without `unsafe` code between fork and exec.
fn spawn(
    mut prepared: process::Command,
    command: &Command,
    accounts: &dyn Observe,
    root: Option<&Path>,
) -> Result<Child, CommandError> {
    let failed = |source| CommandError::start(&command.program, source);
    if let Some(cwd) = &command.cwd
        && root.is_none()
        && !cwd.is_dir()
    {
        // The standard library cannot tell a missing directory from a missing program.
        return Err(failed(io::Error::new(
            io::ErrorKind::NotADirectory,
            format!("no such directory: {}", cwd.display()),
        )));
    }
    let run_as = RunAs::of(command, accounts)?;
    if run_as.uid.is_none() && run_as.gid.is_none() && command.umask.is_none() && root.is_none() {
        return prepared.spawn().map_err(failed);
    }
    let whom = || {
        let name = command.user.as_ref().or(command.group.as_ref());
        name.cloned().unwrap_or_default()
    };
    let started = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                if let Some(mask) = command.umask {
                    own_fs_context()?;
                    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask & 0o777));
                }
                if let Some(root) = root {
                    own_fs_context()?;
                    rustix::process::chroot(root)?;
                    rustix::process::chdir("/")?;
                }
                run_as.assume().map_err(|error| CommandError::RunAs {
                    user: whom(),
                    source: error.into(),
                })?;
                prepared.spawn().map_err(failed)
            })
            .join()
    });
    started.unwrap_or_else(|_| Err(failed(io::Error::other("the starting thread died"))))
}

/// Gives the calling thread its own umask, root and working directory.
fn own_fs_context() -> Result<(), CommandError> {
    #[expect(
        deprecated,
        reason = "the successor is unsafe for the sake of flags we do not pass: with FS alone no descriptor can vanish from another thread"
    )]
    rustix::thread::unshare(rustix::thread::UnshareFlags::FS)
        .map_err(|error| CommandError::Stream(error.into()))
}

impl From<rustix::io::Errno> for CommandError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Stream(error.into())
    }
}

/// A running child and what it has written so far.
struct Watch<'a> {
    command: &'a Command,
    child: Child,
    stdin: Option<(File, &'a [u8])>,
    stdout: Stream,
    stderr: Stream,
    running: Option<Running>,
}

/// One output stream of a child.
struct Stream {
    file: Option<File>,
    kept: Vec<u8>,
    truncated: bool,
}

impl Stream {
    fn new(fd: Option<OwnedFd>) -> Self {
        Self {
            file: fd.map(File::from),
            kept: Vec::new(),
            truncated: false,
        }
    }

    /// Takes what is there; closes at the end.
    fn drain(&mut self, limit: usize) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let mut chunk = [0; 16 << 10];
        loop {
            match file.read(&mut chunk) {
                Ok(0) => {
                    self.file = None;
                    return Ok(());
                }
                Ok(n) => {
                    let fits = n.min(limit.saturating_sub(self.kept.len()));
                    self.kept
                        .extend_from_slice(chunk.get(..fits).unwrap_or_default());
                    self.truncated |= fits < n;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl<'a> Watch<'a> {
    fn new(command: &'a Command, child: Child, ours: Ours, job: Option<&Arc<Children>>) -> Self {
        Self {
            command,
            running: pid(&child).and_then(|pid| Some(job?.running(pid))),
            child,
            stdin: ours
                .stdin
                .map(|fd| (File::from(fd), command.stdin.as_deref().unwrap_or_default())),
            stdout: Stream::new(Some(ours.stdout)),
            stderr: Stream::new(ours.stderr),
        }
    }

    fn finish(mut self) -> Result<Output, CommandError> {
        let begun = Instant::now();
        let deadline = self
            .command
            .timeout
            .and_then(|limit| begun.checked_add(limit));
        let in_time = match self.pump(deadline) {
            Ok(in_time) => in_time,
            Err(error) => {
                self.kill(Signal::KILL);
                self.running = None;
                self.child.wait().ok();
                return Err(CommandError::Stream(error));
            }
        };
        if !in_time {
            self.stdin = None;
            self.kill(Signal::TERM);
            self.pump(Instant::now().checked_add(GRACE)).ok();
            // Whoever obeyed is gone; a child of the child may have neither obeyed nor
            // kept a stream open that would show it.
            self.kill(Signal::KILL);
            self.pump(Instant::now().checked_add(GRACE)).ok();
        }
        // Past this, its number may be given to somebody else.
        self.running = None;
        let status = self.child.wait().map_err(CommandError::Stream)?;
        let output = Output {
            exit: match (status.code(), status.signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, signal) => Exit::Signal(signal.unwrap_or(0)),
            },
            truncated: self.stdout.truncated || self.stderr.truncated,
            stdout: self.stdout.kept,
            stderr: self.stderr.kept,
            pid: self.child.id(),
        };
        match self.command.timeout {
            Some(after) if !in_time => Err(CommandError::TimedOut {
                after,
                output: Box::new(output),
            }),
            _ => Ok(output),
        }
    }

    /// Moves bytes until all streams are closed and the child has ended; `false` when
    /// the deadline comes first.
    fn pump(&mut self, deadline: Option<Instant>) -> io::Result<bool> {
        let limit = self.command.output_limit;
        while self.stdout.file.is_some() || self.stderr.file.is_some() {
            let wait = match deadline {
                None => None,
                Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                    Some(left) if !left.is_zero() => Some(left),
                    _ => return Ok(false),
                },
            };
            self.wait_for_streams(wait)?;
            self.feed();
            self.stdout.drain(limit)?;
            self.stderr.drain(limit)?;
        }
        self.stdin = None;
        wait_for_end(&self.child, deadline)
    }

    fn wait_for_streams(&self, wait: Option<Duration>) -> io::Result<()> {
        let mut fds = Vec::with_capacity(3);
        if let Some((file, _)) = &self.stdin {
            fds.push(PollFd::new(file, PollFlags::OUT));
        }
        for stream in [&self.stdout, &self.stderr] {
            if let Some(file) = &stream.file {
                fds.push(PollFd::new(file, PollFlags::IN));
            }
        }
        poll_fds(&mut fds, wait)
    }

    /// Writes what the child is ready to take. A child that does not read its input
    /// is not an error.
    fn feed(&mut self) {
        let Some((file, rest)) = &mut self.stdin else {
            return;
        };
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(n) => *rest = rest.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.stdin = None;
    }

    /// Signals everything the child started that stayed in its group.
    fn kill(&self, signal: Signal) {
        if let Some(pid) = pid(&self.child) {
            rustix::process::kill_process_group(pid, signal).ok();
        }
    }
}

/// Waits until the child has ended, without collecting it.
pub(super) fn wait_for_end(child: &Child, deadline: Option<Instant>) -> io::Result<bool> {
    let Some(pid) = pid(child) else {
        return Ok(true);
    };
    let seen = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let Some(deadline) = deadline else {
        while let Err(error) = waitid(WaitId::Pid(pid), seen) {
            if error != rustix::io::Errno::INTR {
                return Err(error.into());
            }
        }
        return Ok(true);
    };
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok();
    loop {
        if waitid(WaitId::Pid(pid), seen | WaitIdOptions::NOHANG)?.is_some() {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        match &pidfd {
            Some(pidfd) => {
                poll_fds(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(left))?;
            }
            // Kernels before 5.3 cannot wait for a child with a limit.
            None => std::thread::sleep(left.min(Duration::from_millis(5))),
        }
    }
}

pub(super) fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

pub(super) fn poll_fds(fds: &mut [PollFd<'_>], wait: Option<Duration>) -> io::Result<()> {
    let wait = wait.map(|wait| Timespec {
        tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: wait.subsec_nanos().into(),
    });
    match poll(fds, wait.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::system::{Host, System};

    fn run(command: Command) -> Result<Output, CommandError> {
        Host::new().run(&command)
    }

    #[test]
    fn both_streams_and_the_code_come_back() {
        let output = run(Command::shell("echo out; echo err >&2; exit 3")).unwrap();

        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        assert_eq!(output.exit, Exit::Code(3));
    }

    #[test]
    fn merged_streams_keep_the_order_of_writing() {
        let mut command = Command::shell("echo 1; echo 2 >&2; echo 3");
        command.merge_stderr = true;

        assert_eq!(run(command).unwrap().stdout, b"1\n2\n3\n");
    }

    #[test]
    fn a_megabyte_goes_in_and_out_without_a_deadlock() {
        let input = vec![b'x'; 1 << 20];

        let output = run(Command::new("cat").stdin(input.clone())).unwrap();

        assert_eq!(output.stdout, input);
    }

    #[test]
    fn a_deadline_ends_the_children_of_the_child_too() {
        let begun = Instant::now();
        let limit = Duration::from_millis(100);

        let ended = run(Command::shell("echo early; sleep 60 & sleep 60").timeout(limit));

        let Err(CommandError::TimedOut { output, .. }) = ended else {
            panic!("{ended:?}");
        };
        assert_eq!(output.stdout, b"early\n");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_deadline_ends_grandchildren_that_ignore_the_first_signal_and_hold_no_stream() {
        let mark = std::env::temp_dir().join(format!("salt-deaf-{}", process::id()));
        let line = format!(
            "(trap '' TERM; echo $$; exec >/dev/null 2>&1; sleep 60; sleep 60) & echo $! > {}; exec sleep 60",
            mark.display()
        );

        let ended = run(Command::shell(line).timeout(Duration::from_millis(300)));

        assert!(matches!(ended, Err(CommandError::TimedOut { .. })));
        let deaf: u32 = std::fs::read_to_string(&mark)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        std::fs::remove_file(&mark).unwrap();
        // Whoever is its parent now may take a moment to collect it.
        let is_running = || {
            let stat = std::fs::read_to_string(format!("/proc/{deaf}/stat"));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        let until = Instant::now() + Duration::from_secs(5);
        while is_running() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!is_running());
    }

    #[test]
    fn the_umask_of_a_command_is_its_own() {
        let mut command = Command::shell("umask");
        command.umask = Some(0o027);

        assert_eq!(run(command).unwrap().stdout_text().trim(), "0027");
        let ours = run(Command::shell("umask")).unwrap().stdout_text();
        assert_ne!(ours.trim(), "0027");
    }

    #[test]
    fn an_environment_can_be_added_to_and_replaced() {
        let mut command = Command::new("/usr/bin/env").env("A", "1");
        command.clear_env = true;
        assert_eq!(run(command).unwrap().stdout, b"A=1\n");

        let host = Host::with_environment(vec![("B".into(), "2".into())]);
        host.set_env(OsStr::new("C"), Some(OsStr::new("3")));
        host.set_env(OsStr::new("B"), None);
        let output = host.run(&Command::new("/usr/bin/env")).unwrap();
        assert_eq!(output.stdout, b"C=3\n");
    }

    #[test]
    fn output_beyond_the_limit_is_dropped_and_said_so() {
        let mut command = Command::shell("head -c 100000 /dev/zero");
        command.output_limit = 10;

        let output = run(command).unwrap();

        assert_eq!(output.stdout.len(), 10);
        assert!(output.truncated);
    }

    #[test]
    fn a_missing_program_and_a_missing_directory_are_told_apart() {
        let missing = run(Command::new("no-such-program-here")).unwrap_err();
        let CommandError::Start { source, .. } = missing else {
            panic!("{missing:?}");
        };
        assert_eq!(source.kind(), io::ErrorKind::NotFound);

        let nowhere = run(Command::new("true").cwd("/no/such/place")).unwrap_err();
        assert!(matches!(nowhere, CommandError::Start { source, .. }
            if source.kind() == io::ErrorKind::NotADirectory));
    }

    #[test]
    fn root_can_run_as_another_user_with_that_users_groups() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let mut command = Command::shell("id -u; id -g; id -G");
        command.user = Some("nobody".to_owned());

        let text = run(command).unwrap().stdout_text();

        let nobody = Host::new().user("nobody").unwrap().unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(nobody.uid.to_string().as_str()));
        assert_eq!(lines.next(), Some(nobody.gid.to_string().as_str()));
        assert!(rustix::process::geteuid().is_root());
    }
}
