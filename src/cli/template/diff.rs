//! The difference of two texts, as `diff -u` shows it.

/// Lines around a change.
const CONTEXT: usize = 3;
/// Above this many steps the middle is shown as replaced as a whole.
const MAX_EDITS: usize = 2000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Edit {
    Keep,
    Drop,
    Add,
}

/// A unified difference, empty if the texts are the same; in colours for a person.
pub(crate) fn unified(old: &[u8], new: &[u8], name: &str, colours: bool) -> String {
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let (a, b): (Vec<&str>, Vec<&str>) =
        (old.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
    let edits = script(&a, &b);
    if edits.iter().all(|edit| *edit == Edit::Keep) {
        return String::new();
    }
    let paint = |code: &str, text: &str| {
        if colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    };
    let mut out =
        format!("{}\n{}\n", paint("1", &format!("--- {name}")), paint("1", &format!("+++ {name} (new)")));
    let changes: Vec<usize> =
        edits.iter().enumerate().filter(|(_, edit)| **edit != Edit::Keep).map(|(at, _)| at).collect();
    let mut at = 0;
    while at < changes.len() {
        let start = changes[at].saturating_sub(CONTEXT);
        let mut end = changes[at] + CONTEXT + 1;
        while at + 1 < changes.len() && changes[at + 1] <= end + CONTEXT {
            at += 1;
            end = changes[at] + CONTEXT + 1;
        }
        at += 1;
        hunk(&edits, &a, &b, start..end.min(edits.len()), &paint, &mut out);
    }
    out
}

fn hunk(
    edits: &[Edit],
    a: &[&str],
    b: &[&str],
    range: std::ops::Range<usize>,
    paint: &dyn Fn(&str, &str) -> String,
    out: &mut String,
) {
    let count = |edits: &[Edit], skip: Edit| edits.iter().filter(|edit| **edit != skip).count();
    let (mut i, mut j) = (count(&edits[..range.start], Edit::Add), count(&edits[..range.start], Edit::Drop));
    let (olds, news) = (count(&edits[range.clone()], Edit::Add), count(&edits[range.clone()], Edit::Drop));
    out.push_str(&paint("36", &format!("@@ -{},{olds} +{},{news} @@", i + 1, j + 1)));
    out.push('\n');
    for edit in &edits[range] {
        let (line, mark, code) = match edit {
            Edit::Keep => (a[i], ' ', ""),
            Edit::Drop => (a[i], '-', "31"),
            Edit::Add => (b[j], '+', "32"),
        };
        i += usize::from(*edit != Edit::Add);
        j += usize::from(*edit != Edit::Drop);
        let text = format!("{mark}{}", line.trim_end_matches('\n'));
        out.push_str(&if code.is_empty() { text } else { paint(code, &text) });
        out.push('\n');
        if !line.ends_with('\n') {
            out.push_str("\\ No newline at end of file\n");
        }
    }
}

/// The shortest way from one to the other (Myers, greedy).
fn script(a: &[&str], b: &[&str]) -> Vec<Edit> {
    let head = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[head..], &b[head..]);
    let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[..a.len() - tail], &b[..b.len() - tail]);
    let mut edits = vec![Edit::Keep; head];
    edits.extend(middle(a, b).unwrap_or_else(|| {
        let drops = std::iter::repeat_n(Edit::Drop, a.len());
        drops.chain(std::iter::repeat_n(Edit::Add, b.len())).collect()
    }));
    edits.extend(std::iter::repeat_n(Edit::Keep, tail));
    edits
}

fn middle(a: &[&str], b: &[&str]) -> Option<Vec<Edit>> {
    let (n, m) = (isize::try_from(a.len()).ok()?, isize::try_from(b.len()).ok()?);
    let most = (a.len() + b.len()).min(MAX_EDITS);
    let offset = isize::try_from(most).ok()? + 1;
    let slot = |k: isize| usize::try_from(k + offset).unwrap_or(0);
    let mut reach = vec![0_isize; 2 * most + 3];
    let mut steps: Vec<Vec<isize>> = Vec::new();
    for d in 0..=isize::try_from(most).ok()? {
        steps.push(reach.clone());
        let mut k = -d;
        while k <= d {
            let down = k == -d || (k != d && reach[slot(k - 1)] < reach[slot(k + 1)]);
            let mut x = if down { reach[slot(k + 1)] } else { reach[slot(k - 1)] + 1 };
            while x < n
                && x - k < m
                && x - k >= 0
                && a.get(usize::try_from(x).ok()?) == b.get(usize::try_from(x - k).ok()?)
            {
                x += 1;
            }
            reach[slot(k)] = x;
            if x >= n && x - k >= m {
                return Some(walk_back(&steps, n, m, offset));
            }
            k += 2;
        }
    }
    None
}

fn walk_back(steps: &[Vec<isize>], n: isize, m: isize, offset: isize) -> Vec<Edit> {
    let slot = |k: isize| usize::try_from(k + offset).unwrap_or(0);
    let (mut x, mut y) = (n, m);
    let mut edits = Vec::new();
    for (d, reach) in steps.iter().enumerate().rev() {
        let d = isize::try_from(d).unwrap_or(0);
        let k = x - y;
        let down = k == -d || (k != d && reach[slot(k - 1)] < reach[slot(k + 1)]);
        let before = if down { k + 1 } else { k - 1 };
        let start = if d == 0 { 0 } else { reach[slot(before)] };
        let start_y = if d == 0 { 0 } else { start - before };
        while x > start && y > start_y {
            edits.push(Edit::Keep);
            (x, y) = (x - 1, y - 1);
        }
        if d > 0 {
            edits.push(if down { Edit::Add } else { Edit::Drop });
            (x, y) = (start, start_y);
        }
    }
    edits.reverse();
    edits
}

#[cfg(test)]
mod tests {
    use super::unified;

    #[test]
    fn shows_what_changed_with_its_surroundings() {
        let old = b"a\nb\nc\nd\ne\nf\ng\nh\n";
        let new = b"a\nb\nc\nd\nE\nf\ng\nh\ni";
        let expected = "--- x\n+++ x (new)\n@@ -2,7 +2,8 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n+i\n\\ No newline at end of file\n";
        assert_eq!(unified(old, new, "x", false), expected);
        assert_eq!(unified(old, old, "x", false), "");
        assert!(unified(b"", b"x\n", "x", false).contains("@@ -1,0 +1,1 @@\n+x\n"));
    }
}
