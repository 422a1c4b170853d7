//! Filters that combine sequences: Python's `zip` and `itertools`.

use crate::jinja::filters::{Builtin, integer};
use crate::jinja::value::{Args, Generator, Iter, IterObject, Value};
use crate::jinja::{Error, Result, Runtime};

pub(super) fn find(name: &str) -> Option<Builtin> {
    Some(match name {
        "zip" => |rt, args| {
            let iters = args.positional.iter().map(|value| value.iter(rt));
            let zip = Zip {
                iters: iters.collect::<Result<_>>()?,
                fill: None,
            };
            Ok(IterObject::plain("zip", Iter::generator(zip)))
        },
        "zip_longest" => |rt, mut args| {
            let at = args
                .named
                .iter()
                .position(|(name, _)| &**name == "fillvalue");
            let fill = at.map_or(Value::None, |at| args.named.remove(at).1);
            if !args.named.is_empty() {
                return Err(Error::type_error(
                    "zip_longest() got an unexpected keyword argument",
                ));
            }
            let iters = args.positional.iter().map(|value| value.iter(rt));
            let zip = Zip {
                iters: iters.collect::<Result<_>>()?,
                fill: Some(fill),
            };
            Ok(IterObject::plain(
                "itertools.zip_longest",
                Iter::generator(zip),
            ))
        },
        "product" => product,
        "permutations" => |rt, args| {
            let [values, length] = args.bind("permutations", ["iterable", "r"], 1)?;
            let length = length.filter(|length| !length.is_none());
            choose(rt, values, length, Kind::Permutations)
        },
        "combinations" => |rt, args| {
            let [values, length] = pick(args, "combinations")?;
            choose(rt, values, length, Kind::Combinations)
        },
        "combinations_with_replacement" => |rt, args| {
            let [values, length] = pick(args, "combinations_with_replacement")?;
            choose(rt, values, length, Kind::Repeated)
        },
        "compress" => |rt, args| {
            let [data, selectors] = args.bind("compress", ["data", "selectors"], 2)?;
            let compress = Compress {
                data: data.unwrap_or_default().iter(rt)?,
                selectors: selectors.unwrap_or_default().iter(rt)?,
            };
            Ok(IterObject::plain(
                "itertools.compress",
                Iter::generator(compress),
            ))
        },
        _ => return None,
    })
}

fn pick(args: Args, name: &str) -> Result<[Option<Value>; 2]> {
    crate::jinja::value::keyword_args(args, name, ["iterable", "r"], 2)
}

struct Zip {
    iters: Vec<Iter>,
    /// What stands for a missing value when the longest decides.
    fill: Option<Value>,
}

impl Generator for Zip {
    fn next(&mut self, rt: &Runtime<'_>) -> Result<Option<Value>> {
        let mut row = Vec::with_capacity(self.iters.len());
        let mut any = false;
        for iter in &mut self.iters {
            match (iter.next(rt)?, &self.fill) {
                (Some(value), _) => {
                    any = true;
                    row.push(value);
                }
                (None, Some(fill)) => row.push(fill.clone()),
                (None, None) => return Ok(None),
            }
        }
        Ok(any.then(|| Value::tuple(row)))
    }

    fn release(&mut self, out: &mut Vec<Value>) {
        self.iters.iter_mut().for_each(|iter| iter.release(out));
        out.extend(self.fill.take());
    }
}

struct Compress {
    data: Iter,
    selectors: Iter,
}

impl Generator for Compress {
    fn next(&mut self, rt: &Runtime<'_>) -> Result<Option<Value>> {
        loop {
            let Some(value) = self.data.next(rt)? else {
                return Ok(None);
            };
            let Some(selector) = self.selectors.next(rt)? else {
                return Ok(None);
            };
            if selector.is_true()? {
                return Ok(Some(value));
            }
        }
    }

    fn release(&mut self, out: &mut Vec<Value>) {
        self.data.release(out);
        self.selectors.release(out);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Product,
    Permutations,
    Combinations,
    Repeated,
}

/// Rows of values, by their positions in the pools.
struct Rows {
    kind: Kind,
    pools: Vec<Vec<Value>>,
    places: Option<Vec<usize>>,
}

impl Rows {
    fn pool(&self, column: usize) -> &[Value] {
        let at = if self.kind == Kind::Product {
            column
        } else {
            0
        };
        self.pools.get(at).map_or(&[], Vec::as_slice)
    }

    /// The next positions in order; `None` after the last.
    fn advance(&self, places: &[usize], rt: &Runtime<'_>) -> Result<Option<Vec<usize>>> {
        let mut next = places.to_vec();
        let width = next.len();
        for column in (0..width).rev() {
            rt.charge(1)?;
            let len = self.pool(column).len();
            let Some(current) = next.get(column).copied() else {
                continue;
            };
            let head = next.get(..column).unwrap_or_default().to_vec();
            let mut candidate = current + 1;
            match self.kind {
                Kind::Product if candidate < len => {
                    next.truncate(column);
                    next.push(candidate);
                    next.resize(width, 0);
                    return Ok(Some(next));
                }
                Kind::Combinations if candidate + (width - column) <= len => {
                    next.truncate(column);
                    next.extend(candidate..candidate + (width - column));
                    return Ok(Some(next));
                }
                Kind::Repeated if candidate < len => {
                    next.truncate(column);
                    next.resize(width, candidate);
                    return Ok(Some(next));
                }
                Kind::Permutations => {
                    while candidate < len && head.contains(&candidate) {
                        candidate += 1;
                    }
                    if candidate < len {
                        next.truncate(column);
                        next.push(candidate);
                        let mut free = (0..len).filter(|at| !next.contains(at)).collect::<Vec<_>>();
                        free.truncate(width - column - 1);
                        next.extend(free);
                        return Ok(Some(next));
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

impl Generator for Rows {
    fn next(&mut self, rt: &Runtime<'_>) -> Result<Option<Value>> {
        let Some(places) = self.places.take() else {
            return Ok(None);
        };
        rt.charge(places.len())?;
        let value = |(column, at): (usize, &usize)| self.pool(column).get(*at).cloned();
        let row = places.iter().enumerate().filter_map(value).collect();
        self.places = self.advance(&places, rt)?;
        Ok(Some(Value::tuple(row)))
    }

    fn release(&mut self, out: &mut Vec<Value>) {
        self.pools.iter_mut().for_each(|pool| out.append(pool));
    }
}

fn product(rt: &Runtime<'_>, mut args: Args) -> Result<Value> {
    let at = args.named.iter().position(|(name, _)| &**name == "repeat");
    let repeat = match at {
        Some(at) => integer(&args.named.remove(at).1)?,
        None => 1,
    };
    if let Some((name, _)) = args.named.first() {
        return Err(Error::type_error(format!(
            "'{name}' is an invalid keyword argument for product()",
            name = &**name
        )));
    }
    let Ok(repeat) = usize::try_from(repeat) else {
        return Err(Error::value_error("repeat argument cannot be negative"));
    };
    let mut once = Vec::new();
    for value in &args.positional {
        once.push(value.items(rt)?);
    }
    rt.charge(
        once.iter()
            .map(Vec::len)
            .sum::<usize>()
            .saturating_mul(repeat),
    )?;
    rt.charge(once.len().saturating_mul(repeat))?;
    let mut pools = Vec::new();
    for _ in 0..repeat {
        pools.extend(once.iter().cloned());
    }
    let some = pools.iter().all(|pool| !pool.is_empty());
    let rows = Rows {
        kind: Kind::Product,
        places: some.then(|| vec![0; pools.len()]),
        pools,
    };
    Ok(IterObject::plain(
        "itertools.product",
        Iter::generator(rows),
    ))
}

fn choose(
    rt: &Runtime<'_>,
    values: Option<Value>,
    length: Option<Value>,
    kind: Kind,
) -> Result<Value> {
    let pool = values.unwrap_or_default().items(rt)?;
    let length = match length {
        None => pool.len(),
        Some(length) => usize::try_from(integer(&length)?)
            .map_err(|_| Error::value_error("r must be non-negative"))?,
    };
    rt.charge(length)?;
    let possible = match kind {
        Kind::Repeated => length == 0 || !pool.is_empty(),
        _ => length <= pool.len(),
    };
    let places = possible.then(|| match kind {
        Kind::Repeated => vec![0; length],
        _ => (0..length).collect(),
    });
    let name = match kind {
        Kind::Permutations => "itertools.permutations",
        Kind::Combinations => "itertools.combinations",
        _ => "itertools.combinations_with_replacement",
    };
    let rows = Rows {
        kind,
        pools: vec![pool],
        places,
    };
    Ok(IterObject::plain(name, Iter::generator(rows)))
}
