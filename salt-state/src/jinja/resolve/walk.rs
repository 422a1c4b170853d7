//! Questions about a syntax tree.

use std::collections::BTreeSet;

use crate::jinja::ast::{CallArgs, Expr, For, MacroDef, Node, Piece, Stmt, StmtKind, Target};

/// Visits the names an expression reads.
pub(super) fn names(expr: &Expr, visit: &mut dyn FnMut(&str)) {
    match &expr.node {
        Node::Const(_) => {}
        Node::Name(name) => visit(&name.name),
        Node::Tuple(items) | Node::List(items) | Node::Concat(items) => {
            items.iter().for_each(|item| names(item, visit));
        }
        Node::Dict(items) => {
            for (key, value) in items {
                names(key, visit);
                names(value, visit);
            }
        }
        Node::Cond(cond) => {
            names(&cond.test, visit);
            names(&cond.then, visit);
            cond.otherwise.iter().for_each(|expr| names(expr, visit));
        }
        Node::Filter(applied) | Node::Test(applied) => {
            applied.target.iter().for_each(|expr| names(expr, visit));
            arg_names(&applied.args, visit);
        }
        Node::Call(call) => {
            names(&call.callee, visit);
            arg_names(&call.args, visit);
        }
        Node::Attribute(inner, _)
        | Node::Negative(inner)
        | Node::Positive(inner)
        | Node::Not(inner) => names(inner, visit),
        Node::Item(a, b) | Node::Binary(_, a, b) | Node::And(a, b) | Node::Or(a, b) => {
            names(a, visit);
            names(b, visit);
        }
        Node::Slice(slice) => {
            names(&slice.target, visit);
            for part in [&slice.start, &slice.stop, &slice.step] {
                part.iter().for_each(|expr| names(expr, visit));
            }
        }
        Node::Compare(first, rest) => {
            names(first, visit);
            rest.iter().for_each(|(_, expr)| names(expr, visit));
        }
    }
}

fn arg_names(args: &CallArgs, visit: &mut dyn FnMut(&str)) {
    args.positional.iter().for_each(|expr| names(expr, visit));
    args.named.iter().for_each(|(_, expr)| names(expr, visit));
    for star in [&args.star, &args.double_star] {
        star.iter().for_each(|expr| names(expr, visit));
    }
}

/// How a name occurs.
#[derive(Clone, Copy, PartialEq)]
enum Use {
    Load,
    Store,
    Param,
}

/// Visits all names of statements, inner scopes included but not blocks, in
/// the order Jinja's own visitors go.
fn all_names(body: &[Stmt], visit: &mut dyn FnMut(Use, &str)) {
    for stmt in body {
        stmt_names(stmt, visit);
    }
}

fn stmt_names(stmt: &Stmt, visit: &mut dyn FnMut(Use, &str)) {
    match &stmt.kind {
        StmtKind::Output(pieces) => {
            for piece in pieces {
                if let Piece::Expr(expr) = piece {
                    loads(expr, visit);
                }
            }
        }
        StmtKind::For(node) => for_names(node, visit),
        StmtKind::If(branches, otherwise) => {
            for branch in branches {
                loads(&branch.test, visit);
                all_names(&branch.body, visit);
            }
            all_names(otherwise.as_deref().unwrap_or_default(), visit);
        }
        StmtKind::Macro { def, .. } => macro_names(def, visit),
        StmtKind::CallBlock { call, def } => {
            loads(call, visit);
            macro_names(def, visit);
        }
        StmtKind::FilterBlock { filter, body, .. } => {
            all_names(body, visit);
            loads(filter, visit);
        }
        StmtKind::Set { target, value, .. } => {
            target_names(target, Use::Store, visit);
            loads(value, visit);
        }
        StmtKind::SetBlock(set) => {
            target_names(&set.target, Use::Store, visit);
            set.filter.iter().for_each(|filter| loads(filter, visit));
            all_names(&set.body, visit);
        }
        StmtKind::With { targets, body, .. } => {
            for (target, _) in targets {
                target_names(target, Use::Param, visit);
            }
            for (_, value) in targets {
                loads(value, visit);
            }
            all_names(body, visit);
        }
        StmtKind::Autoescape { value, body, .. } => {
            loads(value, visit);
            all_names(body, visit);
        }
        StmtKind::Load { target, def, .. } => {
            macro_names(def, visit);
            target_names(target, Use::Store, visit);
        }
        StmtKind::ImportData(import) => {
            loads(&import.template, visit);
            visit(Use::Store, &import.target.name);
        }
        StmtKind::Include(include) => loads(&include.template, visit),
        StmtKind::Import(import) => loads(&import.template, visit),
        StmtKind::FromImport(import) => loads(&import.template, visit),
        StmtKind::Extends(expr) | StmtKind::Do(expr) => loads(expr, visit),
        StmtKind::Block(_) | StmtKind::Break | StmtKind::Continue => {}
    }
}

fn loads(expr: &Expr, visit: &mut dyn FnMut(Use, &str)) {
    names(expr, &mut |name| visit(Use::Load, name));
}

fn for_names(node: &For, visit: &mut dyn FnMut(Use, &str)) {
    target_names(&node.target, Use::Store, visit);
    loads(&node.iter, visit);
    all_names(&node.body, visit);
    if let Some((body, _)) = &node.otherwise {
        all_names(body, visit);
    }
    if let Some(filter) = &node.filter {
        loads(&filter.test, visit);
    }
}

fn macro_names(def: &MacroDef, visit: &mut dyn FnMut(Use, &str)) {
    for param in &def.params {
        visit(Use::Param, &param.name);
    }
    for default in def.params.iter().filter_map(|param| param.default.as_ref()) {
        loads(default, visit);
    }
    all_names(&def.function.body, visit);
}

fn target_names(target: &Target, how: Use, visit: &mut dyn FnMut(Use, &str)) {
    match target {
        Target::Name(name) => visit(how, &name.name),
        Target::Namespace { .. } => {}
        Target::Tuple(all) => {
            for one in all {
                target_names(one, how, visit);
            }
        }
    }
}

/// Which of these names the statements read before they assign them.
pub(super) fn undeclared<'a>(body: &[Stmt], wanted: &[&'a str]) -> BTreeSet<&'a str> {
    let mut open: Vec<&'a str> = wanted.to_vec();
    let mut found = BTreeSet::new();
    all_names(body, &mut |how, name| {
        if let Some(at) = open.iter().position(|wanted| *wanted == name) {
            if how == Use::Load {
                found.extend(open.get(at));
            } else {
                open.remove(at);
            }
        }
    });
    found
}

/// Whether anything in the loop assigns `loop`.
pub(super) fn stores_loop(node: &For) -> bool {
    let mut found = false;
    for_names(node, &mut |how, name| {
        found |= how == Use::Store && name == "loop";
    });
    found
}

/// Whether a block that sees local variables is shown in the loop.
pub(super) fn has_scoped_block(node: &For) -> bool {
    fn any(body: &[Stmt]) -> bool {
        body.iter().any(|stmt| match &stmt.kind {
            StmtKind::Block(block) => block.scoped,
            StmtKind::For(node) => has_scoped_block(node),
            StmtKind::If(branches, otherwise) => {
                branches.iter().any(|branch| any(&branch.body))
                    || otherwise.as_deref().is_some_and(any)
            }
            StmtKind::Macro { def, .. }
            | StmtKind::CallBlock { def, .. }
            | StmtKind::Load { def, .. } => any(&def.function.body),
            StmtKind::FilterBlock { body, .. }
            | StmtKind::With { body, .. }
            | StmtKind::Autoescape { body, .. } => any(body),
            StmtKind::SetBlock(set) => any(&set.body),
            _ => false,
        })
    }
    any(&node.body) || node.otherwise.as_ref().is_some_and(|(body, _)| any(body))
}
