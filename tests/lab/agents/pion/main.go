// pion behind one UNIX socket: the path is the only argument.
package main

import (
	"bufio"
	"encoding/json"
	"net"
	"os"

	"github.com/pion/webrtc/v3"
)

type request struct {
	Do        string `json:"do"`
	Sdp       string `json:"sdp"`
	Candidate string `json:"candidate"`
	Mid       string `json:"mid"`
	Restart   bool   `json:"restart"`
}

type reply map[string]string

type agent struct {
	connection *webrtc.PeerConnection
	channel    *webrtc.DataChannel
}

func (a *agent) described(description webrtc.SessionDescription) (reply, error) {
	gathered := webrtc.GatheringCompletePromise(a.connection)
	if err := a.connection.SetLocalDescription(description); err != nil {
		return nil, err
	}
	<-gathered
	return reply{"sdp": a.connection.LocalDescription().SDP}, nil
}

func (a *agent) do(r request) (reply, error) {
	switch r.Do {
	case "offer":
		if a.channel == nil {
			channel, err := a.connection.CreateDataChannel("lab", nil)
			if err != nil {
				return nil, err
			}
			a.channel = channel
		}
		offer, err := a.connection.CreateOffer(&webrtc.OfferOptions{ICERestart: r.Restart})
		if err != nil {
			return nil, err
		}
		return a.described(offer)
	case "answer":
		offer := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: r.Sdp}
		if err := a.connection.SetRemoteDescription(offer); err != nil {
			return nil, err
		}
		answer, err := a.connection.CreateAnswer(nil)
		if err != nil {
			return nil, err
		}
		return a.described(answer)
	case "answered":
		answer := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: r.Sdp}
		return reply{}, a.connection.SetRemoteDescription(answer)
	case "candidate":
		init := webrtc.ICECandidateInit{Candidate: r.Candidate, SDPMid: &r.Mid}
		return reply{}, a.connection.AddICECandidate(init)
	case "media":
		for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
			if _, err := a.connection.AddTransceiverFromKind(kind); err != nil {
				return nil, err
			}
		}
		return reply{}, nil
	case "state":
		return reply{"state": a.connection.ConnectionState().String()}, nil
	case "again":
		a.connection.Close()
		connection, err := webrtc.NewPeerConnection(webrtc.Configuration{})
		a.connection, a.channel = connection, nil
		return reply{}, err
	case "close":
		return reply{}, a.connection.Close()
	}
	return reply{"error": "unknown"}, nil
}

func main() {
	connection, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		panic(err)
	}
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		panic(err)
	}
	client, err := listener.Accept()
	if err != nil {
		panic(err)
	}
	a := &agent{connection: connection}
	lines := bufio.NewReaderSize(client, 1<<20)
	answers := json.NewEncoder(client)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var r request
		answer := reply{}
		if err = json.Unmarshal(line, &r); err == nil {
			answer, err = a.do(r)
		}
		if err != nil {
			answer = reply{"error": err.Error()}
		}
		if answers.Encode(answer) != nil {
			return
		}
	}
}
