//! Finds the process that listens on an address, to explain why the gateway cannot bind it. Reads `/proc` on Linux;
//! finds nothing elsewhere, or for processes of other users.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// Name and number of the process that listens on the address's port.
pub(super) fn of(address: SocketAddr) -> Option<String> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, address.port()))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    for process in processes.take(MAX_PROCESSES) {
        let (name, path) = (process.file_name(), process.path());
        let is_process = name.to_str().is_some_and(|name| name.parse::<u32>().is_ok());
        if is_process && has_one(&path, &sockets) {
            let command = fs::read_to_string(path.join("comm")).unwrap_or_default();
            let (command, number) = (command.trim(), name.to_string_lossy());
            return Some(format!("`{command}`, process {number}, listens there"));
        }
    }
    None
}

/// Inodes of the sockets that listen on a port, from a table of the kernel (proc_pid_net(5)).
fn listening(table: &str, port: u16) -> Vec<String> {
    let ending = format!(":{port:04X}");
    let inode = |line: &str| {
        let mut words = line.split_whitespace();
        let (local, state) = (words.nth(1)?, words.nth(1)?);
        let inode = words.nth(5)?;
        (local.ends_with(&ending) && state == LISTEN).then(|| inode.to_owned())
    };
    table.lines().filter_map(inode).collect()
}

fn has_one(process: &Path, sockets: &[String]) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    files.flatten().any(|file| {
        let target = fs::read_link(file.path()).unwrap_or_default();
        let target = target.to_string_lossy();
        let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inode.is_some_and(|inode| sockets.iter().any(|socket| socket == inode))
    })
}

/// State of a socket that listens, in the kernel's numbers.
const LISTEN: &str = "0A";
/// More processes than this are not looked through.
const MAX_PROCESSES: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0 100 0 0 10 0
   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0
";
        assert_eq!(listening(table, 8080), ["4711"]);
        assert_eq!(listening(table, 80), ["4713"]);
        assert!(listening(table, 81).is_empty() && listening("", 80).is_empty());
    }
}
