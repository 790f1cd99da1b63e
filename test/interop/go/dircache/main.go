// Puts and gets values in a folder by autocert's DirCache: dircache <folder> put <key> <value> | get <key>
package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/crypto/acme/autocert"
)

func main() {
	cache := autocert.DirCache(os.Args[1])
	ctx := context.Background()
	var err error
	switch os.Args[2] {
	case "put":
		err = cache.Put(ctx, os.Args[3], []byte(os.Args[4]))
	case "delete":
		err = cache.Delete(ctx, os.Args[3])
	case "get":
		var data []byte
		if data, err = cache.Get(ctx, os.Args[3]); err == nil {
			fmt.Printf("%s", data)
		} else if err == autocert.ErrCacheMiss {
			fmt.Print("(miss)")
			err = nil
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
