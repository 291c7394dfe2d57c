//! Tables for terminals: columns as wide as what is in them, text of others without anything that steers the terminal.

use crate::visible::visible;

/// A table of text.
#[derive(Debug)]
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// One with these names of columns. Those that begin with `>` stand at the right.
    pub(super) fn of(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| visible(&cell).into_owned()).collect());
    }

    /// Whether there are no rows.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The whole table, its names first.
    pub(super) fn text(&self) -> String {
        let names: Vec<String> = self.head.iter().map(|name| name.trim_start_matches('>').to_owned()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&names).chain(&self.rows).collect();
        let width = |at: usize| lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..self.head.len()).map(|at| width(at).unwrap_or(0)).collect();
        let line = |cells: &Vec<String>| {
            let cells = cells.iter().zip(&widths).zip(&self.head).map(|((cell, width), name)| {
                let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
                if name.starts_with('>') { format!("{gap}{cell}") } else { format!("{cell}{gap}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        lines.into_iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let mut table = Table::of(&["name", ">count"]);
        table.row(["a".to_owned(), "12345".to_owned()]);
        table.row(["l\u{f6}nger".to_owned(), "7".to_owned()]);
        assert_eq!(table.text(), "name    count\na       12345\nl\u{f6}nger      7");
    }

    #[test]
    fn nothing_in_a_cell_steers_the_terminal() {
        let mut table = Table::of(&["name"]);
        table.row(["\u{1b}[2Jx\ny".to_owned()]);
        assert_eq!(table.text(), "name\n\\u001b[2Jx\\u000ay");
    }
}
