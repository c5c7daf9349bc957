//! The list of deliberate differences is `docs/compatibility.md`; nothing else is one.

/// The first cells of the rows of its tables.
pub fn rows() -> Vec<String> {
    let page = include_str!("../../docs/compatibility.md");
    page.lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| Where") && !line.starts_with("| ---"))
        .filter_map(|line| line.split('|').nth(1))
        .map(|cell| cell.trim().to_string())
        .collect()
}

#[test]
fn every_difference_has_a_reason() {
    let page = include_str!("../../docs/compatibility.md");
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        // A bar inside a cell is written with a backslash.
        let line = line.replace("\\|", "\u{a6}");
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "a row is: where, Consul 1.8.7, crs, why: {line}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "an empty cell: {line}");
    }
    let mut names = rows();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "two rows of one name");
}
