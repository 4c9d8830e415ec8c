//! `admin credits`.

use clap::Subcommand;
use proto::admin::{Balance, GetBalanceRequest, GrantCreditsRequest, ListEntriesRequest, RefundCreditsRequest};
use serde_json::{Map, Value, json};

use super::session::Session;
use super::{Error, Said, note};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Give an organisation credits.
    Grant {
        #[arg(long)]
        org: String,
        #[arg(long, value_name = "USD")]
        amount: String,
        /// Repeating a grant with the same key gives nothing a second time.
        #[arg(long, value_name = "K")]
        idempotency_key: Option<String>,
    },
    /// Take available credits back.
    Refund {
        #[arg(long)]
        org: String,
        #[arg(long, value_name = "USD")]
        amount: String,
        #[arg(long, value_name = "K")]
        idempotency_key: Option<String>,
    },
    /// Where an organisation's money is.
    Get {
        #[arg(long)]
        org: String,
    },
    /// Every movement of an organisation's money, newest first.
    Ledger {
        #[arg(long)]
        org: String,
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
}

pub async fn run(session: &mut Session, command: &Command) -> Result<Said, Error> {
    let mut credits = session.credits();
    match command {
        Command::Grant { org, amount, idempotency_key } => {
            let request = GrantCreditsRequest {
                org: org.clone(),
                amount: amount.clone(),
                idempotency_key: idempotency_key.clone().unwrap_or_default(),
                source: String::new(),
            };
            Ok(after_write(&credits.grant_credits(request).await?.into_inner()))
        }
        Command::Refund { org, amount, idempotency_key } => {
            let request = RefundCreditsRequest {
                org: org.clone(),
                amount: amount.clone(),
                idempotency_key: idempotency_key.clone().unwrap_or_default(),
            };
            Ok(after_write(&credits.refund_credits(request).await?.into_inner()))
        }
        Command::Get { org } => {
            Ok(Said::data(row(&credits.get_balance(GetBalanceRequest { org: org.clone() }).await?.into_inner())))
        }
        Command::Ledger { org, limit } => {
            let request = ListEntriesRequest { org: org.clone(), limit: *limit, before: String::new() };
            let entries = credits.list_entries(request).await?.into_inner().entries;
            let rows = entries.iter().map(|entry| {
                let legs: Map<String, Value> =
                    entry.legs.iter().map(|leg| (leg.account.clone(), Value::String(leg.amount.clone()))).collect();
                json!({ "id": entry.id, "kind": entry.kind, "at": entry.at, "actor": entry.actor, "note": entry.note, "legs": legs })
            });
            Ok(Said::data(Value::Array(rows.collect())))
        }
    }
}

fn after_write(balance: &Balance) -> Said {
    if balance.replayed {
        note("this idempotency key was used before: nothing was moved");
    }
    note(&balance.note);
    Said::data(row(balance))
}

fn row(balance: &Balance) -> Value {
    json!({
        "org": balance.org, "funded": balance.funded, "available": balance.available, "leased": balance.leased,
        "quarantined": balance.quarantined, "settled": balance.settled, "refunded": balance.refunded,
    })
}
