//! Re-adds what must add up, and says so loudly when it does not.

use crate::app::App;
use crate::error::Result;

pub async fn run(app: &App) -> Result<()> {
    let checks = store::books::verify(&app.store).await?;
    for check in checks.iter().filter(|check| !check.ok) {
        app.metrics.verify_failures.increment();
        tracing::error!(check = check.name, detail = %check.detail, "the books do not add up: {}", check.promise);
    }
    Ok(())
}
