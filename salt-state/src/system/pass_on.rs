//! Questions that one machine passes on to another.

/// The methods of [`Observe`](super::Observe) that are named, each passed on to the machine
/// in a field. What is not named is written by hand or has its default.
macro_rules! pass_on {
    ($field:ident: $($method:ident),+ $(,)?) => { $(pass_on!(@$method $field);)+ };
    (@metadata $field:ident) => {
        fn metadata(&self, path: &std::path::Path) -> std::io::Result<Option<$crate::Metadata>> {
            self.$field.metadata(path)
        }
    };
    (@link_metadata $field:ident) => {
        fn link_metadata(
            &self,
            path: &std::path::Path,
        ) -> std::io::Result<Option<$crate::Metadata>> {
            self.$field.link_metadata(path)
        }
    };
    (@open $field:ident) => {
        fn open(
            &self,
            path: &std::path::Path,
        ) -> std::io::Result<Option<Box<dyn std::io::Read + Send>>> {
            self.$field.open(path)
        }
    };
    (@list $field:ident) => {
        fn list(&self, path: &std::path::Path) -> std::io::Result<Vec<std::ffi::OsString>> {
            self.$field.list(path)
        }
    };
    (@read_link $field:ident) => {
        fn read_link(&self, path: &std::path::Path) -> std::io::Result<std::path::PathBuf> {
            self.$field.read_link(path)
        }
    };
    (@canonicalize $field:ident) => {
        fn canonicalize(&self, path: &std::path::Path) -> std::io::Result<std::path::PathBuf> {
            self.$field.canonicalize(path)
        }
    };
    (@filesystem $field:ident) => {
        fn filesystem(&self, path: &std::path::Path) -> std::io::Result<$crate::FilesystemUsage> {
            self.$field.filesystem(path)
        }
    };
    (@query $field:ident) => {
        fn query(
            &self,
            command: &$crate::Command,
        ) -> Result<$crate::Output, $crate::CommandError> {
            self.$field.query(command)
        }
    };
    (@identity $field:ident) => {
        fn identity(&self) -> $crate::Identity {
            self.$field.identity()
        }
    };
    (@kernel $field:ident) => {
        fn kernel(&self) -> $crate::Kernel {
            self.$field.kernel()
        }
    };
    (@interfaces $field:ident) => {
        fn interfaces(&self) -> std::io::Result<Vec<$crate::Interface>> {
            self.$field.interfaces()
        }
    };
    (@probe $field:ident) => {
        fn probe(
            &self,
            at: std::net::SocketAddr,
            protocol: $crate::system::Protocol,
            timeout: std::time::Duration,
        ) -> std::io::Result<()> {
            self.$field.probe(at, protocol, timeout)
        }
    };
    (@environment $field:ident) => {
        fn environment(&self) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
            self.$field.environment()
        }
    };
    (@now $field:ident) => {
        fn now(&self) -> std::time::SystemTime {
            self.$field.now()
        }
    };
    (@sleep $field:ident) => {
        fn sleep(&self, time: std::time::Duration) {
            self.$field.sleep(time);
        }
    };
    (@interrupted $field:ident) => {
        fn interrupted(&self) -> Option<i32> {
            self.$field.interrupted()
        }
    };
    (@random $field:ident) => {
        fn random(&self, into: &mut [u8]) {
            self.$field.random(into);
        }
    };
    (@users $field:ident) => {
        fn users(&self) -> std::io::Result<Vec<$crate::User>> {
            self.$field.users()
        }
    };
    (@groups $field:ident) => {
        fn groups(&self) -> std::io::Result<Vec<$crate::Group>> {
            self.$field.groups()
        }
    };
    (@user $field:ident) => {
        fn user(&self, name: &str) -> std::io::Result<Option<$crate::User>> {
            self.$field.user(name)
        }
    };
    (@user_by_id $field:ident) => {
        fn user_by_id(&self, uid: u32) -> std::io::Result<Option<$crate::User>> {
            self.$field.user_by_id(uid)
        }
    };
    (@group $field:ident) => {
        fn group(&self, name: &str) -> std::io::Result<Option<$crate::Group>> {
            self.$field.group(name)
        }
    };
    (@group_by_id $field:ident) => {
        fn group_by_id(&self, gid: u32) -> std::io::Result<Option<$crate::Group>> {
            self.$field.group_by_id(gid)
        }
    };
}

pub(super) use pass_on;
