//! Jinja 2 with Python's values.
//!
//! A template engine that behaves as Python's Jinja 2 (3.1) does in Salt: lists
//! and dicts change in place and are seen changed through every name, printed
//! values look as Python prints them, undefined names are errors.
//!
//! An [`Environment`] holds options, filters, tests, globals and the loader;
//! [`Environment::render`] turns a template into [`Rendered`] text that knows, for
//! every byte, which template line it came from. Rendering is pure: clock,
//! randomness, files and YAML come from the [`Host`]. It always ends: steps,
//! output and recursion are limited by [`Limits`].
//!
//! ```
//! use salt_state::jinja::{Environment, Options, Value, Vars};
//!
//! let environment = Environment::new(Options::default());
//! let vars = Vars::from([("names".into(), Value::list(vec!["a".into(), "b".into()]))]);
//! let rendered = environment.render_str("{{ names | join('+') }}{% do names.append(1) %}={{ names }}", vars)?;
//! assert_eq!(rendered.text, "a+b=['a', 'b', 1]");
//! # Ok::<(), salt_state::jinja::Error>(())
//! ```

mod access;
mod ast;
mod builtins;
mod checks;
mod context;
pub(crate) mod date;
mod environment;
mod error;
mod filters;
mod format;
mod host;
mod interp;
mod json;
mod lexer;
mod methods;
mod ops;
mod parser;
mod rendered;
mod resolve;
mod runtime;
pub(crate) mod salt;
mod value;

pub use date::{Date, DateTime};
pub use environment::{Environment, Limits, Loaded, Options, Request, UndefinedKind, Vars};
pub use error::{Error, Exception, Kind, Place, Result, Source};
pub use host::{DataError, Host, NoHost};
pub use rendered::{Location, Rendered, Span};
pub use runtime::Runtime;
pub use value::{
    Args, Dict, DictClass, Iter, Key, List, Object, Set, Str, Tuple, Undefined, Value,
};
