package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/r3labs/sse/v2"
)

func main() {
	// A row may be longer than the 64 KiB that it reads by default.
	client := sse.NewClient(os.Args[1], sse.ClientMaxBufferSize(1<<20))
	for { // it returns where the server ended the stream
		client.SubscribeRaw(func(event *sse.Event) {
			var row struct{ ID string }
			if len(event.Event) == 0 && json.Unmarshal(event.Data, &row) == nil {
				fmt.Println(row.ID)
			}
		})
		time.Sleep(100 * time.Millisecond)
	}
}
