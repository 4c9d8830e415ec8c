//! Many rows in one statement, and lists to look up. Texts are made here from constants and placeholders only.

use std::fmt::Write as _;
use std::sync::OnceLock;

use super::{Arg, Row, Statement, Tx};
use crate::error::Result;

/// Values looked up by one statement.
const LOOKUPS: usize = 512;

/// An insert of many rows: `head` ends before the list of rows, `tail` follows it.
pub(crate) struct Bulk {
    head: &'static str,
    columns: usize,
    tail: &'static str,
    /// The statement of a full list, made when it is first needed: thousands of placeholders. One for each engine.
    full: [OnceLock<Statement>; 2],
}

impl Bulk {
    /// Rows in one statement. Each statement costs a change of thread and, on SQLite, a copy of every page it touches;
    /// with many more rows its values no longer fit in the processor's cache.
    pub(crate) const ROWS: usize = 250;

    pub(crate) const fn new(columns: usize, head: &'static str, tail: &'static str) -> Bulk {
        Bulk { head, columns, tail, full: [OnceLock::new(), OnceLock::new()] }
    }

    /// Runs the statement as often as needed. Rows are written in the order given.
    pub(crate) async fn run(&self, tx: &mut Tx, rows: Vec<Vec<Arg>>) -> Result<()> {
        let mut rows = rows.into_iter();
        while rows.len() > 0 {
            let count = rows.len().min(Self::ROWS);
            let mut values: Vec<Arg> = Vec::with_capacity(count * self.columns);
            rows.by_ref().take(count).for_each(|row| values.extend(row));
            tx.execute(self.statement(count, tx.is_postgres()), values).await?;
        }
        Ok(())
    }

    /// The statement for this many rows. Only the two sizes that come again and again stay prepared.
    fn statement(&self, rows: usize, numbered: bool) -> Statement {
        let make = || Statement::made(self.text(rows, numbered), rows == Self::ROWS || rows == 1);
        match self.full.get(usize::from(numbered)).filter(|_| rows == Self::ROWS) {
            Some(full) => full.get_or_init(make).clone(),
            None => make(),
        }
    }

    fn text(&self, rows: usize, numbered: bool) -> String {
        let mut text = String::with_capacity(self.head.len() + rows * self.columns * 6);
        text.push_str(self.head);
        for row in 0..rows {
            text.push_str(if row == 0 { " (" } else { ",(" });
            for column in 0..self.columns {
                if column > 0 {
                    text.push(',');
                }
                if numbered {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "${}", row * self.columns + column + 1);
                } else {
                    text.push('?');
                }
            }
            text.push(')');
        }
        text.push(' ');
        text.push_str(self.tail);
        text
    }
}

/// Rows of a list of values: `head` ends before the list, `tail` follows it and may name the values of `fixed`, which
/// are `$1`, `$2` … Lists are cut, and padded to powers of two so that few texts exist; order is kept per cut only.
pub(crate) async fn in_list(
    read: &mut super::Read<'_>,
    head: &'static str,
    values: &[Arg],
    tail: &'static str,
    fixed: &[Arg],
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for cut in values.chunks(LOOKUPS) {
        let size = cut.len().next_power_of_two();
        let mut text = String::with_capacity(head.len() + tail.len() + size * 5);
        text.push_str(head);
        for at in 0..size {
            let _ = write!(text, "{}${}", if at == 0 { " (" } else { "," }, fixed.len() + at + 1);
        }
        text.push_str(") ");
        text.push_str(tail);
        let mut arguments = fixed.to_vec();
        arguments.extend_from_slice(cut);
        arguments.extend(cut.last().into_iter().cycle().take(size - cut.len()).cloned());
        rows.extend(read.all(Statement::made(text, true), arguments).await?);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_differs_in_its_placeholders_only() {
        let bulk = Bulk::new(2, "insert into t (a, b) values", "on conflict do nothing");
        assert_eq!(bulk.text(2, true), "insert into t (a, b) values ($1,$2),($3,$4) on conflict do nothing");
        assert_eq!(bulk.text(2, false), "insert into t (a, b) values (?,?),(?,?) on conflict do nothing");
    }
}
