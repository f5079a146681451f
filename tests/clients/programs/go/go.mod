module txnwatch/foreign-clients

go 1.21

require (
	github.com/r3labs/sse/v2 v2.10.0
	github.com/segmentio/kafka-go v0.4.51
	github.com/tmaxmax/go-sse v0.12.0
)
