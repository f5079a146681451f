package main

import (
	"bufio"
	"context"
	"os"
	"strings"

	"github.com/segmentio/kafka-go"
)

func main() {
	writer := &kafka.Writer{Addr: kafka.TCP(os.Args[1]), Topic: os.Args[2], Async: true}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "\t")
		message := kafka.Message{Value: []byte(value)}
		if os.Args[3] != "null" {
			message.Key = []byte(key)
		}
		if err := writer.WriteMessages(context.Background(), message); err != nil {
			panic(err)
		}
	}
	if err := writer.Close(); err != nil {
		panic(err)
	}
}
