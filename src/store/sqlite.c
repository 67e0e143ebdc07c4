/*
 * The SQLite back end: one row for each key, its newest bytes, nothing else.
 *
 *	kv(key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID
 *	meta(name TEXT PRIMARY KEY, value INTEGER): version, reserved
 *
 * WAL with synchronous=FULL: a commit is on the disk when it returns. The lock
 * is exclusive for the life of the process, which keeps a second server out and
 * needs no shared-memory file. The WAL is checkpointed as it grows and cut to a
 * few megabytes; reads never hold it open.
 */
#include "store/internal.h"

#include <errno.h>
#include <sqlite3.h>
#include <sys/stat.h>

struct store_backend {
	sqlite3 *db;
	sqlite3_stmt *put, *del, *meta;
	char *path;
};

static int sqlite_err(struct store_backend *b, struct err *e, const char *what)
{
	int code = sqlite3_errcode(b->db);

	if (code == SQLITE_FULL)
		return err_errno(e, ENOSPC, "%s '%s'", what, b->path);
	if (code == SQLITE_BUSY)
		return err_set(e, ERR_UNKNOWN,
			       "%s '%s': another kinglet server is using it; stop that one, or choose another --data-dir",
			       what, b->path);
	if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
		return err_set(e, ERR_UNKNOWN,
			       "%s '%s': the file is damaged (%s); put back a copy, or move it away to start an empty "
			       "cluster",
			       what, b->path, sqlite3_errmsg(b->db));
	return err_set(e, ERR_INTERNAL, "%s '%s': %s", what, b->path, sqlite3_errmsg(b->db));
}

static int sqlite_exec(struct store_backend *b, const char *sql, struct err *e)
{
	if (sqlite3_exec(b->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return sqlite_err(b, e, "open the datastore");
	return 0;
}

/* One integer from a query; dflt when there is no row. */
static int sqlite_int(struct store_backend *b, const char *sql, int64_t dflt, int64_t *ret, struct err *e)
{
	sqlite3_stmt *st;
	int rc;

	*ret = dflt;
	if (sqlite3_prepare_v2(b->db, sql, -1, &st, NULL) != SQLITE_OK)
		return sqlite_err(b, e, "read the datastore");
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : sqlite_err(b, e, "read the datastore");
}

static int sqlite_check(struct store_backend *b, struct err *e)
{
	sqlite3_stmt *st;
	int rc;

	if (sqlite3_prepare_v2(b->db, "PRAGMA quick_check(1)", -1, &st, NULL) != SQLITE_OK)
		return sqlite_err(b, e, "check the datastore");
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW && !streq((const char *)sqlite3_column_text(st, 0), "ok")) {
		err_set(e, ERR_UNKNOWN,
			"check the datastore '%s': the file is damaged (%s); put back a copy, or move it away to start "
			"an empty cluster",
			b->path, sqlite3_column_text(st, 0));
		sqlite3_finalize(st);
		return -e->code;
	}
	sqlite3_finalize(st);
	return rc == SQLITE_ROW ? 0 : sqlite_err(b, e, "check the datastore");
}

static int sqlite_layout(struct store_backend *b, struct err *e)
{
	int64_t version, has_meta;

	if (sqlite_int(b, "SELECT count(*) FROM sqlite_master WHERE name = 'meta'", 0, &has_meta, e) < 0)
		return -e->code;
	if (has_meta) {
		if (sqlite_int(b, "SELECT value FROM meta WHERE name = 'version'", 0, &version, e) < 0)
			return -e->code;
		if (version > STORE_VERSION)
			return err_set(e, ERR_UNKNOWN,
				       "the datastore '%s' was written by a newer kinglet (layout %lld, this one knows "
				       "%d); install that version again, or choose another --data-dir",
				       b->path, (long long)version, STORE_VERSION);
		return 0;
	}
	return sqlite_exec(b,
			   "BEGIN;"
			   "CREATE TABLE kv(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
			   "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
			   "INSERT INTO meta VALUES('version', 1), ('reserved', 0);"
			   "COMMIT;",
			   e);
}

static int sqlite_prepare(struct store_backend *b, sqlite3_stmt **st, const char *sql, struct err *e)
{
	if (sqlite3_prepare_v3(b->db, sql, -1, SQLITE_PREPARE_PERSISTENT, st, NULL) != SQLITE_OK)
		return sqlite_err(b, e, "open the datastore");
	return 0;
}

static int sqlite_setup(struct store_backend *b, struct err *e)
{
	if (sqlite_exec(b,
			"PRAGMA locking_mode = EXCLUSIVE;"
			"PRAGMA auto_vacuum = INCREMENTAL;"
			"PRAGMA journal_mode = WAL;"
			"PRAGMA synchronous = FULL;"
			"PRAGMA wal_autocheckpoint = 1000;"
			"PRAGMA journal_size_limit = 4194304;"
			"PRAGMA cache_size = -512;"
			"PRAGMA temp_store = MEMORY;"
			"BEGIN IMMEDIATE; COMMIT;",
			e) < 0)
		return -e->code;
	if (sqlite_check(b, e) < 0 || sqlite_layout(b, e) < 0)
		return -e->code;
	if (sqlite_prepare(b, &b->put, "INSERT INTO kv VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET value = ?2", e) < 0 ||
	    sqlite_prepare(b, &b->del, "DELETE FROM kv WHERE key = ?1", e) < 0 ||
	    sqlite_prepare(b, &b->meta, "UPDATE meta SET value = ?1 WHERE name = 'reserved'", e) < 0)
		return -e->code;
	return 0;
}

int sqlite_open(struct store_backend **ret, const char *path, struct err *e)
{
	struct store_backend *b = xcalloc(1, sizeof(*b));
	mode_t old = umask(077);
	int rc;

	b->path = xstrdup(path);
	rc = sqlite3_open_v2(path, &b->db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
			     NULL);
	rc = rc == SQLITE_OK ? sqlite_setup(b, e) : sqlite_err(b, e, "open the datastore");
	umask(old);
	if (rc < 0) {
		sqlite_close(b);
		return rc;
	}
	*ret = b;
	return 0;
}

int sqlite_load(struct store_backend *b, int64_t *reserved,
		int (*row)(void *arg, struct str key, struct str value, struct err *e), void *arg, struct err *e)
{
	sqlite3_stmt *st;
	int rc;

	if (sqlite_int(b, "SELECT value FROM meta WHERE name = 'reserved'", 0, reserved, e) < 0)
		return -e->code;
	if (sqlite3_prepare_v2(b->db, "SELECT key, value FROM kv ORDER BY key", -1, &st, NULL) != SQLITE_OK)
		return sqlite_err(b, e, "read the datastore");
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct str key = str_n((const char *)sqlite3_column_text(st, 0), (size_t)sqlite3_column_bytes(st, 0));
		struct str value = str_n(sqlite3_column_blob(st, 1), (size_t)sqlite3_column_bytes(st, 1));

		if (row(arg, key, value, e) < 0) {
			sqlite3_finalize(st);
			return -e->code;
		}
	}
	sqlite3_finalize(st);
	sqlite3_db_release_memory(b->db);
	return rc == SQLITE_DONE ? 0 : sqlite_err(b, e, "read the datastore");
}

static int sqlite_step(struct store_backend *b, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

static int sqlite_write_row(struct store_backend *b, const struct store_row *row, struct buf *json)
{
	sqlite3_stmt *st = row->obj ? b->put : b->del;

	sqlite3_bind_text(st, 1, row->key, -1, SQLITE_STATIC);
	if (row->obj) {
		buf_clear(json);
		obj_json_add(row->obj, json);
		sqlite3_bind_blob64(st, 2, json->s, json->len, SQLITE_STATIC);
	}
	return sqlite_step(b, st);
}

static int sqlite_write_all(struct store_backend *b, const struct store_batch *batch)
{
	_cleanup_buf_ struct buf json = BUF_INIT;

	if (sqlite3_exec(b->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		return -1;
	for (size_t i = 0; i < batch->rows.n; i++)
		if (sqlite_write_row(b, &batch->rows.v[i], &json) < 0)
			return -1;
	if (batch->reserve > 0) {
		sqlite3_bind_int64(b->meta, 1, batch->reserve);
		if (sqlite_step(b, b->meta) < 0)
			return -1;
	}
	return sqlite3_exec(b->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
}

int sqlite_commit(struct store_backend *b, const struct store_batch *batch, struct err *e)
{
	if (sqlite_write_all(b, batch) == 0)
		return 0;
	sqlite_err(b, e, "write to the datastore");
	if (!sqlite3_get_autocommit(b->db))
		sqlite3_exec(b->db, "ROLLBACK", NULL, NULL, NULL);
	return -e->code;
}

void sqlite_close(struct store_backend *b)
{
	if (!b)
		return;
	sqlite3_finalize(b->put);
	sqlite3_finalize(b->del);
	sqlite3_finalize(b->meta);
	if (b->db)
		sqlite3_close(b->db);
	free(b->path);
	free(b);
}
