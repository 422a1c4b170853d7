//! `map`, `select` and their kin, which compute as they are walked.

use crate::jinja::value::{Args, Generator, Iter, IterObject, Str, Value};
use crate::jinja::{Result, Runtime};

use super::{Builtin, Path, argument_error, call_named};

pub(super) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        "map" => |_, args| map(args),
        "select" => |_, args| select(args, "sync_do_select", true, false),
        "reject" => |_, args| select(args, "sync_do_reject", false, false),
        "selectattr" => |_, args| select(args, "sync_do_selectattr", true, true),
        "rejectattr" => |_, args| select(args, "sync_do_rejectattr", false, true),
        _ => return None,
    })
}

/// How each value is looked at; worked out when the first is asked for.
struct Plan {
    path: Path,
    default: Option<Value>,
    /// The filter or test with its further arguments.
    call: Option<(Value, Args)>,
}

/// What a walk does with the values.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Map,
    Keep { passing: bool, attribute: bool },
}

struct Walk {
    mode: Mode,
    value: Value,
    positional: Vec<Value>,
    named: Vec<(Str, Value)>,
    running: Option<(Iter, Plan)>,
    done: bool,
}

impl Generator for Walk {
    fn next(&mut self, rt: &Runtime<'_>) -> Result<Option<Value>> {
        if self.done {
            return Ok(None);
        }
        let result = self.step(rt);
        // A generator that failed or ended stays at its end.
        self.done = !matches!(result, Ok(Some(_)));
        result
    }

    fn release(&mut self, out: &mut Vec<Value>) {
        out.push(std::mem::take(&mut self.value));
        out.append(&mut self.positional);
        out.extend(self.named.drain(..).map(|(_, value)| value));
        if let Some((iter, plan)) = &mut self.running {
            iter.release(out);
            out.extend(plan.default.take());
            if let Some((_, args)) = &mut plan.call {
                out.append(&mut args.positional);
            }
        }
    }
}

impl Walk {
    fn step(&mut self, rt: &Runtime<'_>) -> Result<Option<Value>> {
        if self.running.is_none() {
            if !self.value.is_true()? {
                return Ok(None);
            }
            let plan = match self.mode {
                Mode::Map => self.plan_map()?,
                Mode::Keep { attribute, .. } => self.plan_select(attribute)?,
            };
            self.running = Some((self.value.iter(rt)?, plan));
        }
        let Some((iter, plan)) = &mut self.running else {
            return Ok(None);
        };
        while let Some(item) = iter.next(rt)? {
            let part = plan.path.get(rt, &item, plan.default.as_ref())?;
            let call = plan.call.as_ref().map(|(name, args)| {
                let mut args = args.clone();
                args.positional.insert(0, part.clone());
                (name, args)
            });
            match self.mode {
                Mode::Map => {
                    return match call {
                        Some((name, args)) => call_named(rt, true, name, args).map(Some),
                        None => Ok(Some(part)),
                    };
                }
                Mode::Keep { passing, .. } => {
                    let passes = match call {
                        Some((name, args)) => call_named(rt, false, name, args)?.is_true()?,
                        None => part.is_true()?,
                    };
                    if passes == passing {
                        return Ok(Some(item));
                    }
                }
            }
        }
        Ok(None)
    }

    fn plan_map(&mut self) -> Result<Plan> {
        let mut named = std::mem::take(&mut self.named);
        let mut take = |name: &str| {
            let at = named.iter().position(|(own, _)| &**own == name)?;
            Some(named.remove(at).1)
        };
        if self.positional.is_empty()
            && let Some(attribute) = take("attribute")
        {
            let default = take("default").filter(|default| !default.is_none());
            if let Some((name, _)) = named.first() {
                let name = crate::jinja::value::repr_str(name);
                return Err(argument_error(format!(
                    "Unexpected keyword argument {name}"
                )));
            }
            return Ok(Plan {
                path: Path::new(Some(&attribute)),
                default,
                call: None,
            });
        }
        if self.positional.is_empty() {
            return Err(argument_error("map requires a filter argument"));
        }
        let filter = self.positional.remove(0);
        let args = Args {
            positional: std::mem::take(&mut self.positional),
            named,
        };
        Ok(Plan {
            path: Path::new(None),
            default: None,
            call: Some((filter, args)),
        })
    }

    fn plan_select(&mut self, attribute: bool) -> Result<Plan> {
        let mut positional = std::mem::take(&mut self.positional).into_iter();
        let path = if attribute {
            match positional.next() {
                Some(attribute) => Path::new(Some(&attribute)),
                None => return Err(argument_error("Missing parameter for attribute name")),
            }
        } else {
            Path::new(None)
        };
        let test = positional.next();
        let args = Args {
            positional: positional.collect(),
            named: std::mem::take(&mut self.named),
        };
        Ok(Plan {
            path,
            default: None,
            call: test.map(|test| (test, args)),
        })
    }
}

fn walk(args: Args, function: &str, mode: Mode) -> Result<Value> {
    let mut positional = args.positional.into_iter();
    let Some(value) = positional.next() else {
        return Err(crate::jinja::Error::type_error(format!(
            "{function}() missing 1 required positional argument: 'value'"
        )));
    };
    let shown = match mode {
        Mode::Map => function,
        Mode::Keep { .. } => "select_or_reject",
    };
    Ok(IterObject::generator(
        shown,
        Walk {
            mode,
            value,
            positional: positional.collect(),
            named: args.named,
            running: None,
            done: false,
        },
    ))
}

fn map(args: Args) -> Result<Value> {
    walk(args, "sync_do_map", Mode::Map)
}

fn select(args: Args, function: &str, passing: bool, attribute: bool) -> Result<Value> {
    walk(args, function, Mode::Keep { passing, attribute })
}
