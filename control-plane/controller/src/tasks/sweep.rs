//! Every second: forgets idle rate pools and says that this controller is alive.

use super::absence;
use crate::app::App;
use crate::error::Result;

pub async fn run(app: &App) -> Result<()> {
    app.rates.sweep(app.clock.monotonic());
    absence::note(app).await
}
