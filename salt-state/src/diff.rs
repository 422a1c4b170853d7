//! Unified diffs as Python's `difflib.unified_diff` writes them.
//!
//! Which of several shortest descriptions of a change is shown depends on the matching
//! algorithm, so this is the one that difflib documents: the longest run of equal lines
//! first, then the same on both sides of it, with lines that make up more than one per
//! cent of a long text not considered as beginnings.

use std::collections::HashMap;
use std::hash::Hash;

/// A run of equal lines: where it begins on both sides, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Block {
    a: usize,
    b: usize,
    size: usize,
}

/// What becomes of a range of lines of the one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    equal: bool,
    a: (usize, usize),
    b: (usize, usize),
}

/// How many equal lines are shown around a change.
const CONTEXT: usize = 3;

struct Matcher<'t, T> {
    a: &'t [T],
    b: &'t [T],
    places: HashMap<&'t T, Vec<usize>>,
}

impl<'t, T: Eq + Hash> Matcher<'t, T> {
    fn new(a: &'t [T], b: &'t [T]) -> Self {
        let mut places: HashMap<&T, Vec<usize>> = HashMap::new();
        for (at, line) in b.iter().enumerate() {
            places.entry(line).or_default().push(at);
        }
        if b.len() >= 200 {
            let most = b.len() / 100 + 1;
            places.retain(|_, at| at.len() <= most);
        }
        Self { a, b, places }
    }

    fn same(&self, a: usize, b: usize) -> bool {
        self.a.get(a).is_some() && self.a.get(a) == self.b.get(b)
    }

    /// The longest run of equal lines within the ranges; of several the one that begins
    /// first in `a`, then first in `b`.
    fn longest(&self, a: (usize, usize), b: (usize, usize)) -> Block {
        let mut best = Block {
            a: a.0,
            b: b.0,
            size: 0,
        };
        let mut lengths: HashMap<usize, usize> = HashMap::new();
        for i in a.0..a.1 {
            let mut next = HashMap::new();
            let places = self.a.get(i).and_then(|line| self.places.get(line));
            for &j in places.into_iter().flatten() {
                if j < b.0 {
                    continue;
                }
                if j >= b.1 {
                    break;
                }
                let size = 1 + match j {
                    0 => 0,
                    j => lengths.get(&(j - 1)).copied().unwrap_or(0),
                };
                next.insert(j, size);
                if size > best.size {
                    best = Block {
                        a: i + 1 - size,
                        b: j + 1 - size,
                        size,
                    };
                }
            }
            lengths = next;
        }
        // Frequent lines begin no run, but belong to the one beside them.
        while best.a > a.0 && best.b > b.0 && self.same(best.a - 1, best.b - 1) {
            best.a -= 1;
            best.b -= 1;
            best.size += 1;
        }
        while best.a + best.size < a.1
            && best.b + best.size < b.1
            && self.same(best.a + best.size, best.b + best.size)
        {
            best.size += 1;
        }
        best
    }

    fn steps(&self) -> Vec<Step> {
        let (ends_a, ends_b) = (self.a.len(), self.b.len());
        let mut todo = vec![((0, ends_a), (0, ends_b))];
        let mut blocks = Vec::new();
        while let Some((a, b)) = todo.pop() {
            let found = self.longest(a, b);
            if found.size == 0 {
                continue;
            }
            blocks.push(found);
            if a.0 < found.a && b.0 < found.b {
                todo.push(((a.0, found.a), (b.0, found.b)));
            }
            let (after_a, after_b) = (found.a + found.size, found.b + found.size);
            if after_a < a.1 && after_b < b.1 {
                todo.push(((after_a, a.1), (after_b, b.1)));
            }
        }
        blocks.sort_unstable();
        let mut joined: Vec<Block> = Vec::with_capacity(blocks.len() + 1);
        for block in blocks {
            match joined.last_mut() {
                Some(last) if last.a + last.size == block.a && last.b + last.size == block.b => {
                    last.size += block.size;
                }
                _ => joined.push(block),
            }
        }
        joined.push(Block {
            a: ends_a,
            b: ends_b,
            size: 0,
        });
        let (mut i, mut j) = (0, 0);
        let mut steps = Vec::new();
        for block in joined {
            if i < block.a || j < block.b {
                steps.push(Step {
                    equal: false,
                    a: (i, block.a),
                    b: (j, block.b),
                });
            }
            (i, j) = (block.a + block.size, block.b + block.size);
            if block.size > 0 {
                steps.push(Step {
                    equal: true,
                    a: (block.a, i),
                    b: (block.b, j),
                });
            }
        }
        steps
    }

    /// The steps in groups with little equal text around each.
    fn groups(&self) -> Vec<Vec<Step>> {
        let mut steps = self.steps();
        if let Some(first) = steps.first_mut().filter(|first| first.equal) {
            first.a.0 = first.a.0.max(first.a.1.saturating_sub(CONTEXT));
            first.b.0 = first.b.0.max(first.b.1.saturating_sub(CONTEXT));
        }
        if let Some(last) = steps.last_mut().filter(|last| last.equal) {
            last.a.1 = last.a.1.min(last.a.0 + CONTEXT);
            last.b.1 = last.b.1.min(last.b.0 + CONTEXT);
        }
        let mut groups = Vec::new();
        let mut group = Vec::new();
        for mut step in steps {
            if step.equal && step.a.1 - step.a.0 > 2 * CONTEXT {
                group.push(Step {
                    a: (step.a.0, step.a.1.min(step.a.0 + CONTEXT)),
                    b: (step.b.0, step.b.1.min(step.b.0 + CONTEXT)),
                    ..step
                });
                groups.push(std::mem::take(&mut group));
                step.a.0 = step.a.0.max(step.a.1 - CONTEXT);
                step.b.0 = step.b.0.max(step.b.1 - CONTEXT);
            }
            group.push(step);
        }
        if group.iter().any(|step| !step.equal) {
            groups.push(group);
        }
        groups
    }
}

fn range((from, to): (usize, usize)) -> String {
    match to - from {
        1 => format!("{}", from + 1),
        0 => format!("{from},0"),
        size => format!("{},{size}", from + 1),
    }
}

/// The lines of a unified diff, none when both sides are equal. The three kinds of
/// heading end in a line break whether or not the lines do.
///
/// ```
/// let diff = salt_state::unified_diff(&["a\n", "b\n"], &["a\n", "c\n"], "", "");
/// assert_eq!(diff.concat(), "--- \n+++ \n@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
/// ```
pub fn unified_diff<T>(a: &[T], b: &[T], from: &str, to: &str) -> Vec<String>
where
    T: Eq + Hash + AsRef<str>,
{
    let matcher = Matcher::new(a, b);
    let mut out = Vec::new();
    for group in matcher.groups() {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            continue;
        };
        if out.is_empty() {
            out.push(format!("--- {from}\n"));
            out.push(format!("+++ {to}\n"));
        }
        out.push(format!(
            "@@ -{} +{} @@\n",
            range((first.a.0, last.a.1)),
            range((first.b.0, last.b.1))
        ));
        let mut push = |sign: char, lines: Option<&[T]>| {
            for line in lines.unwrap_or_default() {
                out.push(format!("{sign}{}", line.as_ref()));
            }
        };
        for step in group {
            if step.equal {
                push(' ', a.get(step.a.0..step.a.1));
            } else {
                push('-', a.get(step.a.0..step.a.1));
                push('+', b.get(step.b.0..step.b.1));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_no_diff() {
        assert!(unified_diff(&["a"], &["a"], "", "").is_empty());
        assert!(unified_diff::<&str>(&[], &[], "", "").is_empty());
    }

    #[test]
    fn changes_far_apart_are_shown_in_parts() {
        let old: Vec<String> = (0..30).map(|n| format!("{n}\n")).collect();
        let mut new = old.clone();
        new[2] = "two\n".into();
        new[25] = "x\n".into();

        let diff = unified_diff(&old, &new, "old", "new").concat();

        let expected = "--- old\n+++ new\n@@ -1,6 +1,6 @@\n 0\n 1\n-2\n+two\n 3\n 4\n 5\n@@ -23,7 +23,7 @@\n 22\n 23\n 24\n-25\n+x\n 26\n 27\n 28\n";
        assert_eq!(diff, expected);
    }
}
