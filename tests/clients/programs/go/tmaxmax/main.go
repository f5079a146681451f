package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"github.com/tmaxmax/go-sse"
)

func main() {
	request, _ := http.NewRequest(http.MethodGet, os.Args[1], nil)
	connection := sse.NewConnection(request)
	connection.Buffer(nil, 1<<20) // a row may be longer than the 64 KiB that it reads by default
	connection.SubscribeMessages(func(event sse.Event) {
		var row struct{ ID string }
		if err := json.Unmarshal([]byte(event.Data), &row); err != nil {
			panic(err)
		}
		fmt.Println(row.ID)
	})
	fmt.Fprintln(os.Stderr, connection.Connect())
}
