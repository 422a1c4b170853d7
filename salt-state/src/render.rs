//! From a file to data: the pipeline that a `#!jinja|yaml` line names.

mod context;
mod gpg;
mod hints;
pub mod json;
mod machine;
mod natives;
mod pipe;
mod release;
mod stateconf;
mod template;
mod toml;
mod values;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use salt_proto::target::Release;
use salt_proto::{Map, Value};

use crate::args::Args;
use crate::context::{Context, MinionData};
use crate::diagnostic::{Document, Documents, Place};
use crate::grains;
use crate::jinja;
use crate::registry::CallError;
use crate::sources::Sources;
use crate::yaml::{self, Kind, Node, Span};

pub use machine::Machine;
pub use pipe::{Renderer, Stage, stages};

/// The functions that templates can call as `salt['x.y'](…)`.
pub trait Functions {
    /// Whether there is a function of that name.
    fn contains(&self, name: &str) -> bool;

    /// Whether there is a function whose name begins with `module` and a dot.
    fn contains_module(&self, module: &str) -> bool;

    /// Calls one.
    ///
    /// # Errors
    ///
    /// Whatever the function reports.
    fn call(&self, name: &str, args: &Args) -> Result<Value, CallError>;
}

/// No functions at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFunctions;

impl Functions for NoFunctions {
    fn contains(&self, _: &str) -> bool {
        false
    }

    fn contains_module(&self, _: &str) -> bool {
        false
    }

    fn call(&self, name: &str, _: &Args) -> Result<Value, CallError> {
        Err(CallError::Unavailable(name.to_owned()))
    }
}

/// The functions of a [`Registry`](crate::Registry), called in a context.
#[derive(Clone, Copy, Debug)]
pub struct RegistryFunctions<'c> {
    context: &'c Context<'c>,
}

impl<'c> RegistryFunctions<'c> {
    /// The functions that a context knows.
    pub fn new(context: &'c Context<'c>) -> Self {
        Self { context }
    }
}

impl Functions for RegistryFunctions<'_> {
    fn contains(&self, name: &str) -> bool {
        self.context.registry.contains(name)
    }

    fn contains_module(&self, module: &str) -> bool {
        let mut names = self.context.registry.names();
        names.any(|name| {
            name.split_once('.')
                .is_some_and(|(known, _)| known == module)
        })
    }

    fn call(&self, name: &str, args: &Args) -> Result<Value, CallError> {
        self.context.registry.call(name, args, self.context)
    }
}

/// Turns an armoured PGP message into its text; what `gpg --decrypt` does.
pub type Decrypt<'a> = dyn Fn(&str) -> Result<String, String> + 'a;

/// Runs a renderer that is Python code, such as `py`: its name, the path in the
/// tree, the text. `None` says that it is not offered.
pub type ForeignRenderer<'a> =
    dyn Fn(&str, &Template<'_>, &str) -> Option<Result<Value, String>> + 'a;

/// What all renderings of one compile share.
///
/// Grains, pillar and configuration become template values once, so that a template
/// that changes them in place is seen by the ones rendered after it, as in Salt.
pub struct World<'a> {
    /// Who the minion is.
    pub minion: &'a MinionData,
    /// The tree.
    pub sources: &'a dyn Sources,
    /// The functions of the `salt` variable.
    pub functions: &'a dyn Functions,
    /// Clock, randomness and the filters that need the machine.
    pub outside: Option<&'a dyn jinja::Host>,
    /// Decrypts for the `gpg` renderer.
    pub decrypt: Option<&'a Decrypt<'a>>,
    /// Runs renderers that are Python code.
    pub foreign: Option<&'a ForeignRenderer<'a>>,
    /// Which release's behaviour to show where they differ; `salt_release` of the minion's
    /// configuration says so.
    pub release: Release,
    machine: Option<&'a Machine<'a>>,
    documents: RefCell<Documents>,
    grains: OnceCell<jinja::Value>,
    pillar: OnceCell<jinja::Value>,
    opts: OnceCell<jinja::Value>,
    /// What is rendered now is the template of a file, which belongs to no SLS.
    of_file: Cell<bool>,
}

/// A file to render.
#[derive(Clone, Copy, Debug)]
pub struct Template<'t> {
    /// The environment it belongs to.
    pub environment: &'t str,
    /// The name of the SLS; empty for top files and templates of files.
    pub sls: &'t str,
    /// The path in the tree.
    pub path: &'t str,
    /// The pipe when the file names none.
    pub default: &'t str,
    /// Further variables; they win over Salt's.
    pub extra: &'t Map,
}

/// What came out of a pipe.
#[derive(Clone, Debug)]
pub enum Output {
    /// Data.
    Data(Node),
    /// Text, when the last stage makes text.
    Text(String),
}

/// Why a file could not be rendered.
#[derive(Clone, Debug)]
pub struct RenderError {
    /// Salt's text.
    pub message: String,
    /// Whether Salt reports it as a rendering error of its own (`SaltRenderError`);
    /// otherwise it is an exception that came through.
    pub expected: bool,
    /// Where the cause is.
    pub place: Option<Box<Place>>,
    /// Where it started, if that is elsewhere, with a remark.
    pub related: Vec<(Place, String)>,
    /// What to try.
    pub hint: Option<String>,
}

impl RenderError {
    fn expected(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            expected: true,
            place: None,
            related: Vec::new(),
            hint: None,
        }
    }

    fn exception(message: impl Into<String>) -> Self {
        Self {
            expected: false,
            ..Self::expected(message)
        }
    }

    /// A failure that is none of the file's content.
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self::exception(message)
    }

    fn at(mut self, place: Option<Place>) -> Self {
        self.place = place.map(Box::new);
        self
    }
}

impl std::fmt::Display for RenderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RenderError {}

/// Python's text for bytes that are not UTF-8.
pub(crate) fn utf8_error(error: &std::str::Utf8Error, bytes: &[u8]) -> String {
    let at = error.valid_up_to();
    let byte = bytes.get(at).copied().unwrap_or(0);
    let problem = match (error.error_len(), byte) {
        (None, _) => "unexpected end of data",
        (_, 0x80..=0xC1 | 0xF5..=0xFF) => "invalid start byte",
        _ => "invalid continuation byte",
    };
    format!("'utf-8' codec can't decode byte 0x{byte:02x} in position {at}: {problem}")
}

/// The largest template or SLS that is read, in bytes.
const MAX_TEXT: usize = 32 << 20;

impl<'a> World<'a> {
    /// What a compile needs at least; the rest is absent and can be set.
    pub fn new(
        minion: &'a MinionData,
        sources: &'a dyn Sources,
        functions: &'a dyn Functions,
    ) -> Self {
        Self {
            minion,
            sources,
            functions,
            outside: None,
            decrypt: None,
            foreign: None,
            release: grains::followed(&minion.config),
            machine: None,
            documents: RefCell::default(),
            grains: OnceCell::new(),
            pillar: OnceCell::new(),
            opts: OnceCell::new(),
            of_file: Cell::new(false),
        }
    }

    /// Lets templates ask a machine for its clock, randomness and files, and decrypt with
    /// its `gpg`.
    #[must_use]
    pub fn on(mut self, machine: &'a Machine<'a>) -> Self {
        self.outside = Some(machine);
        self.machine = Some(machine);
        self
    }

    /// Where a node stood, through YAML and template back to the file.
    pub fn place(&self, span: Span) -> Option<Place> {
        self.documents.borrow().place(span)
    }

    fn grains(&self) -> jinja::Value {
        self.grains
            .get_or_init(|| template::dict_of_grains(&self.minion.grains, self.wrapper()))
            .clone()
    }

    fn pillar(&self) -> jinja::Value {
        self.pillar
            .get_or_init(|| template::dict_of(&self.minion.pillar, self.wrapper()))
            .clone()
    }

    fn opts(&self) -> jinja::Value {
        self.opts
            .get_or_init(|| {
                let opts = template::dict_of(&self.minion.config, self.wrapper());
                if let Some(dict) = opts.as_dict() {
                    dict.set("grains", self.grains());
                    dict.set("pillar", self.pillar());
                    dict.set("id", jinja::Value::text(self.minion.id.as_str()));
                }
                opts
            })
            .clone()
    }

    /// The class that grains, pillar and configuration show themselves as.
    fn wrapper(&self) -> jinja::DictClass {
        if self.release > Release::V3006 {
            jinja::DictClass::Dict
        } else {
            jinja::DictClass::Namespaced
        }
    }

    fn cache_directory(&self) -> String {
        let directory = self.minion.config.str("cachedir");
        directory.unwrap_or("/var/cache/salt/minion").to_owned()
    }

    /// Decrypts every PGP message in a value.
    pub(crate) fn decrypt_value(&self, value: &Value) -> Result<Value, String> {
        gpg::decrypt_value(self, value)
    }

    /// Calls one of the functions that templates have built in (`slsutil.renderer`,
    /// `jinja.import_yaml`, …) as a template of that environment would.
    ///
    /// # Errors
    ///
    /// What the function raises.
    pub fn call_native(
        &self,
        environment: &str,
        name: &str,
        args: &Args,
    ) -> Result<Value, CallError> {
        template::call_native(self, environment, name, args)
    }

    /// The environments of the tree, in their configured order.
    pub(crate) fn environments(&self) -> Vec<String> {
        self.sources.environments().unwrap_or_default()
    }

    /// The pipe of files that name none.
    pub(crate) fn default_renderer(&self) -> &str {
        self.minion.config.str("renderer").unwrap_or("jinja|yaml")
    }

    /// The beginning of a file, for what concerns all of it.
    pub(crate) fn first_line(&self, environment: &str, path: &str, text: &str) -> Place {
        let document = Document {
            environment: environment.into(),
            path: path.into(),
            source: text.into(),
            rendered: None,
        };
        document.place(path, text, 1, 1, u32::MAX)
    }

    /// Whether a `#jinja2:` line counts.
    fn jinja_header(&self) -> bool {
        self.release > Release::V3006
    }

    /// Reads a text file of the tree, `None` when there is none.
    ///
    /// # Errors
    ///
    /// It cannot be read, is larger than 32 MiB, or is not UTF-8; in Python's words.
    pub fn read_text(&self, environment: &str, path: &str) -> Result<Option<String>, String> {
        let Some(bytes) = self
            .sources
            .read(environment, path)
            .map_err(|error| format!("cannot read {path}: {error}"))?
        else {
            return Ok(None);
        };
        if bytes.len() > MAX_TEXT {
            return Err(format!("{path} is larger than {MAX_TEXT} bytes"));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(error) => Err(utf8_error(&error.utf8_error(), error.as_bytes())),
        }
    }

    /// Puts a text through its pipe.
    ///
    /// # Errors
    ///
    /// In Salt's words, with the place in the file.
    pub fn render(&self, template: &Template<'_>, text: &str) -> Result<Output, RenderError> {
        if text.trim().is_empty() {
            return Ok(Output::Data(empty()));
        }
        let stages = stages(text, template.default, &self.minion.config);
        let document = self.documents.borrow_mut().add(Document {
            environment: template.environment.into(),
            path: template.path.into(),
            source: text.into(),
            rendered: None,
        });
        let mut flow = Output::Text(text.to_owned());
        if stages.is_empty() {
            return Ok(Output::Data(empty()));
        }
        for stage in &stages {
            flow = self.stage(stage, flow, template, document)?;
        }
        Ok(flow)
    }

    /// Renders a text with one renderer that makes text, whatever its first line says: how
    /// templates of files are rendered.
    ///
    /// # Errors
    ///
    /// In Salt's words, with the place in the file.
    pub fn render_text(
        &self,
        renderer: &str,
        template: &Template<'_>,
        text: &str,
    ) -> Result<String, RenderError> {
        let Some(stage) = stages("", renderer, &self.minion.config).into_iter().next() else {
            return Ok(text.to_owned());
        };
        let document = self.documents.borrow_mut().add(Document {
            environment: template.environment.into(),
            path: template.path.into(),
            source: text.into(),
            rendered: None,
        });
        let before = self.of_file.replace(true);
        let rendered = self.stage(&stage, Output::Text(text.to_owned()), template, document);
        self.of_file.set(before);
        match rendered? {
            Output::Text(text) => Ok(text),
            Output::Data(_) => Err(RenderError::exception(format!(
                "The renderer {renderer} does not make text"
            ))),
        }
    }

    fn stage(
        &self,
        stage: &Stage,
        flow: Output,
        template: &Template<'_>,
        document: u32,
    ) -> Result<Output, RenderError> {
        match (&stage.renderer, flow) {
            (Renderer::Jinja, Output::Text(text)) => {
                if !matches!(stage.arguments.as_str(), "" | "-s") {
                    return Err(RenderError::expected(format!(
                        "Unknown renderer option: {}",
                        stage.arguments
                    )));
                }
                let rendered = template::render(self, template, &text)
                    .map_err(|error| self.template_error(&error, document))?;
                let text = rendered.text.clone();
                self.documents
                    .borrow_mut()
                    .set_rendered(document, Rc::new(rendered));
                Ok(Output::Text(text))
            }
            (Renderer::Yaml, Output::Text(text)) => self.yaml(&text, document).map(Output::Data),
            (Renderer::Yamlex, Output::Text(text)) => {
                yaml::parse_yamlex(&text, document, &yaml::Limits::default())
                    .map(|node| Output::Data(node.filter(Node::is_true).unwrap_or_else(empty)))
                    .map_err(|error| self.yaml_error(&error, document))
            }
            (Renderer::Json, Output::Text(text)) => self.json(&text, document).map(Output::Data),
            (Renderer::Text, flow) => Ok(flow),
            (Renderer::Gpg, flow) => gpg::render(self, flow),
            (Renderer::Stateconf, Output::Text(text)) => {
                stateconf::render(self, template, &stage.arguments, &text, document)
            }
            (Renderer::Toml, Output::Text(text)) => toml::parse(&text, document)
                .map(Output::Data)
                .map_err(|error| {
                    let place = self.place(error.span(document));
                    RenderError::exception(error.to_string()).at(place)
                }),
            (Renderer::Foreign(name), Output::Text(text)) => {
                match self.foreign.and_then(|run| run(name, template, &text)) {
                    Some(Ok(value)) => Ok(Output::Data(Node::from_value(
                        &value,
                        Span {
                            document,
                            ..Span::default()
                        },
                    ))),
                    Some(Err(message)) => Err(RenderError::expected(message)),
                    None => Err(RenderError {
                        hint: Some(
                            "write the file with jinja and yaml, or compile it where Python is"
                                .to_owned(),
                        ),
                        place: self
                            .documents
                            .borrow()
                            .source_place(document, 1, 1)
                            .map(Box::new),
                        ..RenderError::expected(format!(
                            "{} needs the renderer '{name}', which runs Python code and is not available here",
                            template.path
                        ))
                    }),
                }
            }
            (renderer, Output::Data(_)) => Err(RenderError::exception(format!(
                "the renderer '{}' needs text and was given data",
                renderer.name()
            ))),
        }
    }

    fn yaml(&self, text: &str, document: u32) -> Result<Node, RenderError> {
        let limits = yaml::Limits::default();
        let node = yaml::parse_within(text, document, &limits)
            .map_err(|error| self.yaml_error(&error, document))?;
        Ok(node.filter(Node::is_true).unwrap_or_else(empty))
    }

    fn json(&self, text: &str, document: u32) -> Result<Node, RenderError> {
        // The line that names the renderer stays as an empty one, for the places.
        let body = match text
            .strip_prefix("#!")
            .and_then(|rest| rest.split_once('\n'))
        {
            Some((_, body)) => body,
            None => text,
        };
        if body.trim().is_empty() {
            return Ok(empty());
        }
        let shift = u32::from(body.len() < text.len());
        match json::parse(body, document) {
            Ok(node) => Ok(json::shift_lines(node, shift)),
            Err(error) => {
                let span = Span {
                    document,
                    line: error.line + shift,
                    column: error.column,
                    width: 1,
                };
                Err(RenderError::exception(error.message).at(self.place(span)))
            }
        }
    }

    fn yaml_error(&self, error: &yaml::Error, document: u32) -> RenderError {
        let span = |mark: yaml::Mark| {
            let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            Span {
                document,
                line: small(mark.line),
                column: small(mark.column),
                width: 1,
            }
        };
        let mut this = match error.kind() {
            Kind::Scanner | Kind::Parser | Kind::Constructor | Kind::Limit => {
                RenderError::expected(error.salt_text())
            }
            _ => RenderError::exception(error.to_string()),
        };
        let noticed = error.mark().and_then(|mark| self.place(span(mark)));
        let began = error.context_mark().and_then(|mark| self.place(span(mark)));
        let (place, other) = if hints::is_unclosed(error) {
            (
                began,
                noticed.map(|place| (place, "noticed here".to_owned())),
            )
        } else {
            let context = error.context().unwrap_or_default().to_owned();
            (noticed, began.map(|place| (place, context)))
        };
        this.related = other
            .into_iter()
            .filter(|(other, _)| place.as_ref() != Some(other))
            .collect();
        this.hint = hints::yaml(error, place.as_ref()).map(str::to_owned);
        this.place = place.map(Box::new);
        this
    }

    /// An error of the template engine, in the words of Salt's `jinja` renderer.
    fn template_error(&self, error: &jinja::Error, document: u32) -> RenderError {
        let mut this = RenderError::expected(release::message(error.salt_message(), self.release));
        let documents = self.documents.borrow();
        if let Some(document) = documents.get(document) {
            let mut places = error.trace().iter().map(|place| {
                let path = place.source.name.as_deref().unwrap_or(&document.path);
                let column = hints::opening_column(error, place);
                document.place(path, &place.source.text, place.line, column, 1)
            });
            this.hint = hints::template(error);
            this.place = places.next().map(Box::new);
            this.related = places
                .map(|place| (place, "used here".to_owned()))
                .collect();
        }
        this
    }
}

fn empty() -> Node {
    Node::map(yaml::NodeMap::new(), Span::default())
}
