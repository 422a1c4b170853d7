//! Methods of `list` and `tuple`.

use crate::jinja::value::{Args, List, Method, Value, equal, identical, keyword_args, native_args};
use crate::jinja::{Error, Exception, Result, Runtime, filters};

use super::text::index_arg;

pub(super) fn find(name: &str) -> Option<Method> {
    Some(match name {
        "append" => |rt, this, args| {
            let [item] = native_args(args, "list.append", 1)?;
            rt.charge(1)?;
            receiver(this).push(item.unwrap_or_default());
            Ok(Value::None)
        },
        "extend" => |rt, this, args| {
            let [items] = native_args(args, "list.extend", 1)?;
            let items = items.unwrap_or_default().items(rt)?;
            rt.charge(items.len())?;
            receiver(this).borrow_mut().extend(items);
            Ok(Value::None)
        },
        "insert" => |_, this, args| {
            let [at, item] = native_args(args, "insert", 2)?;
            let at = index_arg(&at.unwrap_or_default())?;
            let list = receiver(this);
            let at = clamp(at, list.len());
            list.borrow_mut().insert(at, item.unwrap_or_default());
            Ok(Value::None)
        },
        "remove" => |_, this, args| {
            let [item] = native_args(args, "list.remove", 1)?;
            let item = item.unwrap_or_default();
            let list = receiver(this);
            match place(&list.to_vec(), &item)? {
                Some(at) => {
                    let former = list.borrow_mut().remove(at);
                    drop(former);
                    Ok(Value::None)
                }
                None => Err(Error::value_error("list.remove(x): x not in list")),
            }
        },
        "pop" => |_, this, args| {
            let [at] = native_args(args, "pop", 0)?;
            let at = at.as_ref().map_or(Ok(-1), index_arg)?;
            let list = receiver(this);
            let len = list.len();
            if len == 0 {
                return Err(index_error("pop from empty list"));
            }
            let at = if at < 0 {
                at.saturating_add(i64::try_from(len).unwrap_or(i64::MAX))
            } else {
                at
            };
            match usize::try_from(at) {
                Ok(at) if at < len => Ok(list.borrow_mut().remove(at)),
                _ => Err(index_error("pop index out of range")),
            }
        },
        "clear" => |_, this, args| {
            let [] = native_args(args, "list.clear", 0)?;
            let former = std::mem::take(&mut *receiver(this).borrow_mut());
            crate::jinja::value::drop_flat(former);
            Ok(Value::None)
        },
        "copy" => |rt, this, args| {
            let [] = native_args(args, "list.copy", 0)?;
            let items = receiver(this).to_vec();
            rt.charge(items.len())?;
            Ok(Value::list(items))
        },
        "reverse" => |_, this, args| {
            let [] = native_args(args, "list.reverse", 0)?;
            receiver(this).borrow_mut().reverse();
            Ok(Value::None)
        },
        "sort" => sort,
        "index" => |_, this, args| index(&receiver(this).to_vec(), args, "list"),
        "count" => |_, this, args| {
            let [item] = native_args(args, "list.count", 1)?;
            count(&receiver(this).to_vec(), &item.unwrap_or_default())
        },
        _ => return None,
    })
}

pub(super) fn find_tuple(name: &str) -> Option<Method> {
    Some(match name {
        "index" => |rt, this, args| index(&this.items(rt)?, args, "tuple"),
        "count" => |rt, this, args| {
            let [item] = native_args(args, "tuple.count", 1)?;
            count(&this.items(rt)?, &item.unwrap_or_default())
        },
        _ => return None,
    })
}

fn receiver(this: &Value) -> List {
    match this {
        Value::List(list) => list.clone(),
        _ => List::new(Vec::new()),
    }
}

fn index_error(message: &str) -> Error {
    Error::python(Exception::IndexError, message)
}

/// Where an index inserts.
fn clamp(at: i64, len: usize) -> usize {
    let signed = i64::try_from(len).unwrap_or(i64::MAX);
    let at = if at < 0 { (at + signed).max(0) } else { at };
    usize::try_from(at).unwrap_or(len).min(len)
}

fn place(items: &[Value], wanted: &Value) -> Result<Option<usize>> {
    for (at, item) in items.iter().enumerate() {
        if identical(item, wanted) || equal(item, wanted)? {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

fn count(items: &[Value], wanted: &Value) -> Result<Value> {
    let mut found = 0;
    for item in items {
        if identical(item, wanted) || equal(item, wanted)? {
            found += 1;
        }
    }
    Ok(Value::Int(found))
}

fn index(items: &[Value], args: Args, kind: &str) -> Result<Value> {
    let [item, start, end] = native_args(args, "index", 1)?;
    let item = item.unwrap_or_default();
    let start = start.as_ref().map_or(Ok(0), index_arg)?;
    let end = end.as_ref().map_or(Ok(i64::MAX), index_arg)?;
    let (start, end) = (clamp(start, items.len()), clamp(end, items.len()));
    let window = items.get(start..end).unwrap_or_default();
    match place(window, &item)? {
        Some(at) => Ok(Value::from(start + at)),
        None if kind == "list" => Err(Error::value_error(format!(
            "{} is not in list",
            item.repr()?
        ))),
        None => Err(Error::value_error("tuple.index(x): x not in tuple")),
    }
}

fn sort(rt: &Runtime<'_>, this: &Value, args: Args) -> Result<Value> {
    if !args.positional.is_empty() {
        return Err(Error::type_error("sort() takes no positional arguments"));
    }
    let [key, reverse] = keyword_args(args, "sort", ["key", "reverse"], 0)?;
    let reverse = reverse.map_or(Ok(false), |value| value.is_true())?;
    let list = receiver(this);
    let items = list.to_vec();
    let key = key.filter(|key| !key.is_none());
    let sorted = filters::sort_by(rt, items, reverse, &mut |rt, item| match &key {
        Some(key) => {
            let args = Args::new(vec![item.clone()]);
            crate::jinja::access::call(rt, key, args)
        }
        None => Ok(item.clone()),
    })?;
    *list.borrow_mut() = sorted;
    Ok(Value::None)
}
