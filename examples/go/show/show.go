// Package show prints tokens.
package show

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// Tokens prints a token. With a number of seconds as second argument, it waits that long and prints a token again.
func Tokens(getToken func(scope string) (string, error)) {
	scope := "https://graph.microsoft.com/.default"
	if len(os.Args) > 1 {
		scope = os.Args[1]
	}
	print(getToken(scope))
	if len(os.Args) > 2 {
		seconds, _ := strconv.ParseFloat(os.Args[2], 64)
		time.Sleep(time.Duration(seconds * float64(time.Second)))
		print(getToken(scope))
	}
}

func print(token string, err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(token)
}
