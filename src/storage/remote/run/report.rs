//! The report of the European Nucleotide Archive on the files of a run: a table
//! with tabs, in whose cells lists are separated by semicolons.

use std::time::SystemTime;

use super::super::super::address::RunFiles;
use super::super::item::md5_of_digits;

/// One file, as the report has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReportedFile {
    /// Server and path, without a scheme.
    pub path: String,
    pub bytes: Option<u64>,
    pub md5: Option<[u8; 16]>,
    pub published: Option<SystemTime>,
}

/// The files of a run. None: it is no such report.
pub(super) fn parse_report(
    text: &str,
    accession: &str,
    files: RunFiles,
) -> Option<Vec<ReportedFile>> {
    let mut lines = text.lines();
    let Some(head) = lines.next() else { return Some(Vec::new()) };
    let columns: Vec<&str> = head.split('\t').collect();
    let column = |name: &str| columns.iter().position(|column| *column == name);
    let kind = match files {
        RunFiles::Fastq => "fastq",
        RunFiles::Submitted => "submitted",
    };
    let paths_at = column(&format!("{kind}_ftp"))?;
    let (sums_at, sizes_at) = (column(&format!("{kind}_md5")), column(&format!("{kind}_bytes")));
    let (run_at, date_at) = (column("run_accession"), column("first_public"));
    let mut found = Vec::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split('\t').collect();
        let cell = |at: Option<usize>| at.and_then(|at| cells.get(at).copied()).unwrap_or("");
        if run_at.is_some() && cell(run_at) != accession {
            continue;
        }
        let list = |at| cell(at).split(';').map(str::trim).collect::<Vec<&str>>();
        let (paths, sums, sizes) = (list(Some(paths_at)), list(sums_at), list(sizes_at));
        let published = date_of(cell(date_at));
        for (position, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
            let path = path.split_once("://").map_or(*path, |(_, rest)| rest);
            found.push(ReportedFile {
                path: path.to_owned(),
                bytes: sizes.get(position).and_then(|size| size.parse().ok()),
                md5: sums.get(position).and_then(|sum| md5_of_digits(sum)),
                published,
            });
        }
    }
    Some(found)
}

/// Whether a file of a pair has the first reads: `x_1.fastq.gz`, `x_R1_001.fq`.
pub(super) fn is_read_1(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let Some((stem, _)) = name.split_once(".fastq").or_else(|| name.split_once(".fq")) else {
        return false;
    };
    let stem = stem.strip_suffix("_001").unwrap_or(stem);
    let Some(before) = stem.strip_suffix('1') else { return false };
    let before = before.strip_suffix('r').unwrap_or(before);
    before.ends_with(['_', '.', '-'])
}

fn date_of(text: &str) -> Option<SystemTime> {
    let date: jiff::civil::Date = text.parse().ok()?;
    let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(SystemTime::from(midnight.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "run_accession\tfirst_public\tfastq_ftp\tfastq_md5\tfastq_bytes\tsubmitted_ftp\tsubmitted_md5\tsubmitted_bytes";
    const SUM: &str = "d41d8cd98f00b204e9800998ecf8427e";

    #[test]
    fn a_report_names_files_with_sizes_and_sums() {
        let text = format!(
            "{HEAD}\nERR1\t2020-02-03\thost/a_1.fastq.gz;host/a_2.fastq.gz\t{SUM};{SUM}\t10;20\tftp://host/x.bam\t{SUM}\t30\n"
        );
        let files = parse_report(&text, "ERR1", RunFiles::Fastq).unwrap();
        assert_eq!(files.len(), 2);
        assert_eq!(files[1].path, "host/a_2.fastq.gz");
        assert_eq!((files[1].bytes, files[1].md5), (Some(20), md5_of_digits(SUM)));
        let since = files[0].published.unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(since.as_secs(), 1_580_688_000);
        let submitted = parse_report(&text, "ERR1", RunFiles::Submitted).unwrap();
        assert_eq!(submitted[0].path, "host/x.bam");
        assert_eq!(parse_report(&text, "ERR2", RunFiles::Fastq), Some(Vec::new()));
    }

    #[test]
    fn a_run_without_files_has_none_and_what_is_no_report_says_so() {
        let text = format!("{HEAD}\nERR1\t\t\t\t\t\t\t\n");
        assert_eq!(parse_report(&text, "ERR1", RunFiles::Fastq), Some(Vec::new()));
        assert_eq!(parse_report("", "ERR1", RunFiles::Fastq), Some(Vec::new()));
        assert_eq!(parse_report("<html>busy</html>", "ERR1", RunFiles::Fastq), None);
    }

    #[test]
    fn the_first_reads_are_told_by_their_names() {
        for name in ["ERR1_1.fastq.gz", "s_R1_001.fastq.gz", "s.R1.fq", "s-1.fq.gz"] {
            assert!(is_read_1(name), "{name}");
        }
        for name in ["ERR1_2.fastq.gz", "ERR1.fastq.gz", "s11.fastq.gz", "s_R2_001.fq", "s_1.bam"] {
            assert!(!is_read_1(name), "{name}");
        }
    }
}
