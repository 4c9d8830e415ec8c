//! Background work. Each task looks at the truth, changes what needs changing, and changes nothing the second time.

mod absence;
mod books;
pub mod lease_expiry;
mod sweep;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use runtime::tasks::Tasks;

use crate::app::App;
use crate::error::Result;
pub use absence::at_start;

type Run = for<'a> fn(&'a App) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// One task: its name, how often it looks, and what it does.
struct Task {
    name: &'static str,
    every: Every,
    run: Run,
}

enum Every {
    Fixed(Duration),
    /// As the setting `verify_every` says.
    Verify,
}

static TASKS: &[Task] = &[
    Task { name: "sweep", every: Every::Fixed(Duration::from_secs(1)), run: |app| Box::pin(sweep::run(app)) },
    Task {
        name: "lease-expiry",
        every: Every::Fixed(Duration::from_secs(30)),
        run: |app| Box::pin(lease_expiry::run(app)),
    },
    Task { name: "books", every: Every::Verify, run: |app| Box::pin(books::run(app)) },
];

/// Starts every task.
pub fn start(app: &Arc<App>, tasks: &Tasks, verify_every: Duration) {
    for task in TASKS {
        let every = match task.every {
            Every::Fixed(every) => every,
            Every::Verify => verify_every,
        };
        let (app, stopping) = (app.clone(), tasks.stopping());
        tasks.spawn(task.name, async move {
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            ticks.tick().await;
            loop {
                tokio::select! {
                    () = stopping.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                if let Err(error) = (task.run)(&app).await {
                    app.metrics.task_failures.increment();
                    tracing::warn!(
                        task = task.name,
                        error = &error as &dyn std::error::Error,
                        "a task failed; it will look again"
                    );
                }
            }
        });
    }
}
