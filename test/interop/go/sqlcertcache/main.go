// What Go's sqlcertcache does to its table in PostgreSQL, to the statement: https://github.com/goenning/sqlcertcache
// sqltable <dsn> <table> create | get <key> | put <key> | delete <key>; values are hexadecimal, on stdin and stdout.
package main

import (
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	_ "github.com/lib/pq"
)

func run(dsn, table, what string, keys []string) error {
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	if what == "create" {
		_, err = db.Exec(fmt.Sprintf(`create table if not exists %s (
			key        varchar(400) not null primary key,
			data       bytea not null,
			created_at timestamptz not null,
			updated_at timestamptz null
		)`, table))
		return err
	}
	if len(keys) != 1 {
		return errors.New("one key is needed")
	}
	key := keys[0]
	switch what {
	case "get":
		var data []byte
		err = db.QueryRow(fmt.Sprintf(`select data::bytea from %s where key = $1`, table), key).Scan(&data)
		if err == sql.ErrNoRows {
			fmt.Print("(miss)")
			return nil
		}
		fmt.Print(hex.EncodeToString(data))
		return err
	case "put":
		text, err := io.ReadAll(os.Stdin)
		if err != nil {
			return err
		}
		data, err := hex.DecodeString(string(text))
		if err != nil {
			return err
		}
		_, err = db.Exec(fmt.Sprintf(`insert into %s (key, data, created_at) values ($1, $2::bytea, now())
			on conflict (key) do update set data = $2::bytea`, table), key, data)
		return err
	case "delete":
		_, err = db.Exec(fmt.Sprintf(`delete from %s where key = $1`, table), key)
		return err
	}
	return fmt.Errorf("%s is nothing to be done", what)
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "sqltable <dsn> <table> create | get <key> | put <key> | delete <key>")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
