//! What FTP servers say when they are asked for the contents of a folder.

use std::time::SystemTime;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::super::item::{Item, RemoteFile};

/// The entries of an answer to MLSD; those that are neither a file nor a
/// folder are left out.
pub(super) fn parse_mlsd(folder: &str, text: &str) -> Vec<Item> {
    text.lines().filter_map(|line| parse_fact_line(folder, line)).collect()
}

/// The entries of an answer to LIST in the style of `ls -l`, which nearly all
/// servers have; none if a line is not. Its dates are too coarse to be used.
pub(super) fn parse_list(folder: &str, text: &str) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("total ")) {
        let kind = line.chars().next()?;
        let mut rest = line;
        let mut bytes = None;
        // Permissions, links, owner, group, size, month, day, time or year.
        for column in 0..8 {
            let (word, after) = rest.split_once(' ')?;
            // After the last column one space ends it: a name may begin with one.
            rest = if column < 7 { after.trim_start() } else { after };
            if column == 4 {
                bytes = Some(word.parse().ok()?);
            }
        }
        let name = if kind == 'l' { rest.split(" -> ").next()? } else { rest };
        if matches!(name, "." | "..") {
            continue;
        }
        let path = join(folder, name);
        match kind {
            'd' => items.push(Item::folder(&path)),
            '-' => items.push(Item::file(&path, RemoteFile { bytes, ..RemoteFile::default() })),
            // Whoever reads it finds out what it leads to.
            'l' => items.push(Item::file(&path, RemoteFile::default())),
            _ => {}
        }
    }
    Some(items)
}

/// `20261125032100.123`, as MDTM and MLSD have it, in UTC.
pub(super) fn parse_time(text: &str) -> Option<SystemTime> {
    let digits = text.get(..14)?;
    let date = DateTime::strptime("%Y%m%d%H%M%S", digits).ok()?;
    let zoned = date.to_zoned(TimeZone::UTC).ok()?;
    Some(SystemTime::from(zoned.timestamp()))
}

pub(super) fn join(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        folder => format!("{}/{name}", folder.trim_end_matches('/')),
    }
}

fn parse_fact_line(folder: &str, line: &str) -> Option<Item> {
    let (facts, name) = line.split_once(' ')?;
    let fact = |wanted: &str| {
        facts.split(';').find_map(|fact| {
            let (key, value) = fact.split_once('=')?;
            key.eq_ignore_ascii_case(wanted).then_some(value)
        })
    };
    let kind = fact("type")?;
    if kind.eq_ignore_ascii_case("dir") {
        return Some(Item::folder(&join(folder, name)));
    }
    let bytes = fact("size").and_then(|size| size.parse().ok());
    let modified = fact("modify").and_then(parse_time);
    let file = RemoteFile { bytes, modified, tag: None, md5: None };
    kind.eq_ignore_ascii_case("file").then(|| Item::file(&join(folder, name), file))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::super::item::ItemKind;
    use super::*;

    #[test]
    fn lists_of_facts_are_read() {
        let text = "type=cdir;modify=20200101000000; .\r\nType=file;Size=3;Modify=19700101000001.5; a b;c\r\ntype=dir;perm=el; d\r\n";
        let items = parse_mlsd("x", text);
        assert_eq!(items.len(), 2);
        assert_eq!(items[0].path, "x/a b;c");
        let ItemKind::File(file) = &items[0].kind else { panic!("a file") };
        assert_eq!(file.bytes, Some(3));
        assert_eq!(file.modified, Some(UNIX_EPOCH + Duration::from_secs(1)));
        assert_eq!(items[1], Item::folder("x/d"));
    }

    #[test]
    fn lists_as_of_ls_are_read() {
        let text = "total 8\r\n-rw-r--r--    1 0        0              12 Nov 25 03:21  two  words\r\ndrwxr-xr-x    2 0        0            4096 Jan  1  2020 d\r\nlrwxrwxrwx    1 0        0               1 Nov 25 03:21 l -> a\r\n";
        let items = parse_list("", text).unwrap();
        let paths: Vec<&str> = items.iter().map(|item| item.path.as_str()).collect();
        assert_eq!(paths, [" two  words", "d", "l"]);
        assert!(items[1].is_folder());
        assert!(parse_list("", "01-01-20  03:21PM  <DIR>  d\r\n").is_none());
    }
}
