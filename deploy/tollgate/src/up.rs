//! Both planes in one process, over real sockets: the quickest way to a first answer. Makes what is missing in its data
//! folder, and shows a key and a line that works at once.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::task::{Context, Poll};
use std::time::Duration;

use clap::Args;
use controller::{Demo, First};
use proto::admin::ApplyRequest;
use runtime::config::Span;
use runtime::shutdown::Shutdown;
use serde_json::json;

use crate::admin::apply;
use crate::planes::{controller_settings, exit_code, proxy_settings, unless_signalled};
use crate::ports::{Doors, Ports};
use crate::{in_one_line, print};

/// How long the proxies may take to become ready.
const READY_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub struct Options {
    /// Folder for everything that is kept: database, keys, spools, caches.
    #[arg(long, value_name = "DIR", default_value = "./tollgate-data")]
    data: PathBuf,
    /// A PostgreSQL database in place of the SQLite file in the data folder.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Where inference is served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the admin API is served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    admin_listen: SocketAddr,
    /// Where the planes talk to each other.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8082")]
    sync_listen: SocketAddr,
    /// Where health and metrics are served: the control plane's on this port, the proxies' on the next ones.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    metrics_listen: SocketAddr,
    /// How many proxies; they listen on the inference port and the next ones that the other plane leaves free.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    proxies: u16,
    /// An apply file to apply before anything is ready; repeat for more.
    #[arg(long, value_name = "FILE")]
    apply: Vec<PathBuf>,
    /// No built-in echo provider and no demo organisation.
    #[arg(long)]
    no_demo: bool,
    /// Print one line of JSON on stdout when everything is ready.
    #[arg(long)]
    json: bool,
}

/// Everything that is known, and was checked, before anything is made.
struct Plan {
    control: controller::Config,
    first: First,
    ports: Ports,
}

/// Runs both planes until a signal.
pub async fn run(options: Options) -> Result<ExitCode, String> {
    // Before all else: a start that takes its time can be ended, too.
    let shutdown = Shutdown::on_signals().map_err(|error| in_one_line(&error))?;
    let Some(plan) = unless_signalled(&shutdown, plan(&options)).await else { return Ok(ExitCode::SUCCESS) };
    let Plan { control: config, first, ports } = plan?;
    let telemetry = runtime::telemetry::init(&config.telemetry, "tollgate", std::io::stderr);
    let telemetry = telemetry.map_err(|error| in_one_line(&error))?;
    runtime::files::raise_open_files().map_err(|error| in_one_line(&error))?;
    let Some(started) = unless_signalled(&shutdown, controller::start(&config, first)).await else {
        return Ok(ExitCode::SUCCESS);
    };
    let control = started.map_err(|error| in_apply_files(&options.apply, &error))?;
    let mut proxies = Vec::new();
    let prepared = unless_signalled(&shutdown, prepare(&options, &ports, &control, &shutdown, &mut proxies)).await;
    match prepared {
        Some(Ok(demo)) => {
            if let Err(why) = say_ready(&options, &control, &proxies, demo.as_ref()) {
                print::aside(why);
            }
            tokio::select! {
                () = shutdown.signalled() => {}
                () = first_to_leave(&proxies) => shutdown.trigger("a proxy of this process came to its end"),
            }
        }
        Some(Err(error)) => {
            control.stop().await;
            return Err(error);
        }
        None => {}
    }
    let mut code = ExitCode::SUCCESS;
    for proxy in proxies {
        if proxy.finished().await == proxy::Ended::Fenced {
            code = exit_code(proxy::Ended::Fenced);
        }
    }
    control.stop().await;
    telemetry.shutdown(Duration::from_secs(2)).await;
    Ok(code)
}

/// Ready when any of them goes by itself.
async fn first_to_leave(proxies: &[proxy::Running]) {
    let mut leaving: Vec<_> = proxies.iter().map(|proxy| Box::pin(proxy.leaving())).collect();
    let mut any = |cx: &mut Context<'_>| leaving.iter_mut().any(|one| one.as_mut().poll(cx).is_ready());
    poll_fn(|cx| if any(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
}

async fn plan(options: &Options) -> Result<Plan, String> {
    let control = controller_config(options)?;
    // The proxies are started last; what is wrong with their settings must not be found then.
    proxy_settings(None)?;
    let first = First { echo: !options.no_demo, wish: wish(&options.apply).await?, ..First::of_environment() };
    first.check(&control).map_err(|error| in_apply_files(&options.apply, &error))?;
    let addresses = [options.listen, options.admin_listen, options.sync_listen, options.metrics_listen];
    let ports = Ports::number(addresses, options.proxies)?;
    ports.check()?;
    Ok(Plan { control, first, ports })
}

/// All apply files as one. Read apart, for the end of a file may be long in coming.
async fn wish(files: &[PathBuf]) -> Result<ApplyRequest, String> {
    let files = files.to_vec();
    let read = move || files.iter().map(apply::read).collect::<Result<Vec<_>, _>>();
    let requests = tokio::task::spawn_blocking(read).await.map_err(|error| format!("read the apply files: {error}"))?;
    requests.map(controller::catalog::join).map_err(|error| in_one_line(&error))
}

/// What is refused in a request was written in one of these.
fn in_apply_files(files: &[PathBuf], error: &controller::Error) -> String {
    let what = in_one_line(error);
    if files.is_empty() || !matches!(error, controller::Error::Fault(_)) {
        return what;
    }
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    format!("{}: {what}", names.join(", "))
}

fn controller_config(options: &Options) -> Result<controller::Config, String> {
    let mut config = controller_settings(None)?;
    config.data_dir.clone_from(&options.data);
    if let Some(database) = &options.database {
        config.database.clone_from(database);
    }
    config.admin_listen = options.admin_listen;
    config.sync_listen = options.sync_listen;
    config.metrics_listen = options.metrics_listen;
    Ok(config)
}

/// Makes what a first look needs and starts the proxies, until all are ready. Those that were started are in `proxies`
/// whatever becomes of this.
async fn prepare(
    options: &Options,
    ports: &Ports,
    control: &controller::Running,
    shutdown: &Shutdown,
    proxies: &mut Vec<proxy::Running>,
) -> Result<Option<Demo>, String> {
    let demo = match options.no_demo {
        true => None,
        false => Some(control.demo(&options.data).await.map_err(|error| in_one_line(&error))?),
    };
    for (at, doors) in ports.proxies.iter().enumerate() {
        let settings = proxy_config(options, control, at + 1, *doors)?;
        proxies.push(proxy::start(settings, shutdown.child()).await.map_err(|error| in_one_line(&error))?);
    }
    let all_ready = async {
        for proxy in proxies.iter() {
            proxy.ready().await;
        }
    };
    tokio::time::timeout(READY_DEADLINE, all_ready)
        .await
        .map_err(|_| format!("the proxies were not ready after {} s; the log says why", READY_DEADLINE.as_secs()))?;
    Ok(demo)
}

fn proxy_config(
    options: &Options,
    control: &controller::Running,
    number: usize,
    doors: Doors,
) -> Result<proxy::Settings, String> {
    let mut settings = proxy_settings(None)?;
    settings.listen = doors.inference;
    settings.metrics_listen = doors.metrics;
    settings.sync_url = format!("http://{}", control.sync_address);
    settings.data_dir = options.data.join(format!("proxy-{number}"));
    if settings.drain.lame_duck == proxy::Settings::default().drain.lame_duck {
        // Both planes leave together: there is no balancer to wait for, unless somebody said so.
        settings.drain.lame_duck = Span::from_millis(0);
    }
    Ok(settings)
}

fn say_ready(
    options: &Options,
    control: &controller::Running,
    proxies: &[proxy::Running],
    demo: Option<&Demo>,
) -> Result<(), String> {
    let urls: Vec<String> = proxies.iter().map(|proxy| format!("{}://{}", proxy.scheme(), proxy.address())).collect();
    let admin_scheme = if control.admin_is_tls { "https" } else { "http" };
    let admin_url = format!("{admin_scheme}://{}", control.admin_address);
    let key = demo.and_then(|demo| demo.key.expose_text());
    if options.json {
        let metrics =
            std::iter::once(control.metrics_address).chain(proxies.iter().map(proxy::Running::metrics_address));
        let line = json!({
            "inference_urls": urls,
            "admin_url": admin_url,
            "console_url": format!("{admin_url}/"),
            "org": demo.map(|demo| demo.org.to_string()),
            "api_key": key,
            "admin_token": control.admin_token.expose_text(),
            "metrics_urls": metrics.map(|address| format!("http://{address}/metrics")).collect::<Vec<_>>(),
        });
        return print::data(&line.to_string());
    }
    print::data(&welcome(&urls, &admin_url, &options.data, key))
}

fn welcome(urls: &[String], admin_url: &str, data: &Path, key: Option<&str>) -> String {
    let first = urls.first().map_or("", String::as_str);
    let mut lines = vec![
        "Tollgate is ready.".to_owned(),
        String::new(),
        format!("  inference  {}", urls.join("  ")),
        format!("  admin      {admin_url}   (token in {})", data.join("admin-token").display()),
    ];
    if let Some(key) = key {
        lines.extend([
            format!("  key        {key}"),
            String::new(),
            "Try it:".to_owned(),
            String::new(),
            format!("  curl -s {first}/v1/chat/completions \\"),
            format!("    -H 'authorization: Bearer {key}' -H 'content-type: application/json' \\"),
            r#"    -d '{"model":"tollgate/echo","messages":[{"role":"user","content":"Hello"}]}'"#.to_owned(),
        ]);
    }
    lines.push(String::new());
    lines.push("Ctrl-C ends it; what it keeps is in the data folder.".to_owned());
    lines.join("\n")
}
