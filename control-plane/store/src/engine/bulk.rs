//! Many rows in one statement, and lists to look up. Texts are made here from constants and placeholders only.

use std::fmt::Write as _;

use super::{Arg, Row, Statement, Tx};
use crate::error::Result;

/// Rows in one statement: a hundred is where both engines stop getting faster.
const ROWS: usize = 100;
/// Values looked up by one statement.
const LOOKUPS: usize = 512;

/// An insert of many rows: `head` ends before the list of rows, `tail` follows it.
pub(crate) struct Bulk {
    pub(crate) head: &'static str,
    pub(crate) columns: usize,
    pub(crate) tail: &'static str,
}

impl Bulk {
    /// Runs the statement as often as needed. Rows are written in the order given.
    pub(crate) async fn run(&self, tx: &mut Tx, rows: Vec<Vec<Arg>>) -> Result<()> {
        let mut chunk: Vec<Arg> = Vec::with_capacity(ROWS * self.columns);
        for row in rows {
            chunk.extend(row);
            if chunk.len() >= ROWS * self.columns {
                self.flush(tx, std::mem::take(&mut chunk)).await?;
            }
        }
        if chunk.is_empty() { Ok(()) } else { self.flush(tx, chunk).await }
    }

    async fn flush(&self, tx: &mut Tx, chunk: Vec<Arg>) -> Result<()> {
        let rows = chunk.len() / self.columns.max(1);
        let text = self.text(rows, tx.is_postgres());
        // Only the two sizes that come again and again stay prepared.
        tx.execute(Statement::made(text, rows == ROWS || rows == 1), chunk).await.map(drop)
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
        let bulk = Bulk { head: "insert into t (a, b) values", columns: 2, tail: "on conflict do nothing" };
        assert_eq!(bulk.text(2, true), "insert into t (a, b) values ($1,$2),($3,$4) on conflict do nothing");
        assert_eq!(bulk.text(2, false), "insert into t (a, b) values (?,?),(?,?) on conflict do nothing");
    }
}
