"""Words the gate knows: what starts a query, what starts anything else, the functions it refuses; quoted names."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def quoted_always(name: str, dialect: str = "sqlite") -> str:
    """A name in quotes, since a schema may use keywords as names; MySQL reads double quotes as text."""
    mark = "`" if dialect == "mysql" else '"'
    return mark + name.replace(mark, mark * 2) + mark


QUERY_STARTS = _words("select with values")
WRITES = _words("insert update delete replace create drop alter truncate merge upsert rename grant revoke comment")
OTHER_STATEMENTS = _words(
    "attach detach pragma vacuum begin start commit end rollback savepoint release abort reindex analyze explain "
    "describe desc show use set reset call exec execute prepare deallocate declare copy load unload export import "
    "install do lock unlock listen notify cluster checkpoint discard refresh optimize kill flush handler force"
)

# They reach files, extensions or other servers, or hold a worker. Refused by name, whether or not the build has them.
REFUSED_FUNCTIONS = _words(
    "load_extension readfile writefile edit fts3_tokenizer fsdir lsdir zipfile sqlite_log shell system eval "
    "read_csv read_csv_auto read_json read_json_auto read_json_objects read_ndjson read_parquet parquet_scan "
    "read_text read_blob sniff_csv parquet_metadata parquet_schema sqlite_scan sqlite_attach sqlite_query "
    "postgres_scan postgres_attach postgres_query mysql_scan mysql_query iceberg_scan delta_scan st_read read_xlsx "
    "getenv pg_read_file pg_read_binary_file pg_ls_dir pg_ls_logdir pg_ls_waldir pg_ls_tmpdir pg_stat_file pg_sleep "
    "pg_sleep_for pg_sleep_until lo_import lo_export dblink dblink_exec dblink_connect pg_terminate_backend "
    "pg_cancel_backend pg_reload_conf pg_rotate_logfile set_config setval nextval pg_advisory_lock pg_notify "
    "query_to_xml database_to_xml pg_create_restore_point pg_switch_wal load_file sleep benchmark get_lock "
    "release_lock sys_exec sys_eval xp_cmdshell"
)

RANDOM_FUNCTIONS = _words("random randomblob rand uuid gen_random_uuid")
CLOCK_FUNCTIONS = _words("date time datetime julianday unixepoch strftime timediff")
CLOCK_NAMES = _words("current_date current_time current_timestamp localtime localtimestamp")
CLOCK_CALLS = _words("now today getdate curdate curtime sysdate clock_timestamp")
