//! nginx as the second line: Debian's own, one worker, kept-alive upstream connections, nothing buffered, nothing logged.
//! It knows no keys and no money; it is what a plain proxy costs when it has been polished for twenty years.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::child::{Process, pinned};
use crate::limits;
use crate::target::{Ground, Kind, Target, free_port};

/// Debian keeps it outside an ordinary user's path.
const USUAL_FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];
const CONNECTIONS: u32 = 16_384;

/// The installed nginx, if there is one.
pub fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(USUAL_FOLDERS.map(PathBuf::from));
    folders.map(|folder| folder.join("nginx")).find(|file| file.is_file())
}

/// The version as nginx itself says it, for the report.
pub fn version() -> Option<String> {
    let output = Command::new(find()?).arg("-v").output().ok()?;
    Some(String::from_utf8_lossy(&output.stderr).trim().rsplit('/').next()?.to_owned())
}

pub fn start(ground: &Ground) -> Result<Target> {
    let program = find().context("nginx is not installed")?;
    let folder = ground.folder.join("nginx");
    fs::create_dir_all(&folder).context("create the folder of nginx")?;
    let address = free_port()?;
    let file = folder.join("nginx.conf");
    fs::write(&file, config(&folder, address, ground.upstream)).context("write the configuration of nginx")?;
    let mut command = pinned(ground.target_core, program);
    command.arg("-p").arg(&folder).arg("-c").arg(&file).arg("-e").arg(folder.join("error.log"));
    Ok(Target::plain(Kind::Nginx, address, Some(Process::start("nginx", command, &ground.folder)?)))
}

fn config(folder: &Path, listen: SocketAddr, upstream: SocketAddr) -> String {
    let folder = folder.display();
    let files = limits::raise_open_files().min(1 << 20);
    format!(
        "daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid \"{folder}/nginx.pid\";
error_log \"{folder}/error.log\" crit;
events {{ worker_connections {CONNECTIONS}; use epoll; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    client_max_body_size 64m;
    client_body_buffer_size 1m;
    client_body_temp_path \"{folder}/body\";
    proxy_temp_path \"{folder}/proxy\";
    fastcgi_temp_path \"{folder}/fastcgi\";
    uwsgi_temp_path \"{folder}/uwsgi\";
    scgi_temp_path \"{folder}/scgi\";
    upstream mock {{
        server {upstream};
        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_timeout 3600s;
    }}
    server {{
        listen {listen} backlog=4096;
        location / {{
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
            proxy_read_timeout 3600s;
        }}
    }}
}}
"
    )
}
