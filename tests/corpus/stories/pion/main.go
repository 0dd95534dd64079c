// pion: prints its stories (see ../__init__.py).
package main

import (
	"encoding/json"
	"os"

	"github.com/pion/webrtc/v3"
)

var told = map[string]string{}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func connection() *webrtc.PeerConnection {
	return must(webrtc.NewPeerConnection(webrtc.Configuration{}))
}

func gathered(pc *webrtc.PeerConnection, description webrtc.SessionDescription) webrtc.SessionDescription {
	all := webrtc.GatheringCompletePromise(pc)
	check(pc.SetLocalDescription(description))
	<-all
	return *pc.LocalDescription()
}

func exchange(one, other *webrtc.PeerConnection, name, answerName string) {
	offer := gathered(one, must(one.CreateOffer(nil)))
	told[name] = offer.SDP
	check(other.SetRemoteDescription(offer))
	answer := gathered(other, must(other.CreateAnswer(nil)))
	told[answerName] = answer.SDP
	check(one.SetRemoteDescription(answer))
}

func transceiver(pc *webrtc.PeerConnection, kind webrtc.RTPCodecType, direction webrtc.RTPTransceiverDirection) *webrtc.RTPTransceiver {
	return must(pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: direction}))
}

func main() {
	one, other := connection(), connection()
	must(one.CreateDataChannel("lab", nil))
	exchange(one, other, "data", "answer")
	restart := must(one.CreateOffer(&webrtc.OfferOptions{ICERestart: true}))
	told["restart"] = gathered(one, restart).SDP

	one = connection()
	must(one.CreateDataChannel("lab", nil))
	offer := must(one.CreateOffer(nil))
	check(one.SetLocalDescription(offer))
	told["trickled"] = offer.SDP

	one, other = connection(), connection()
	transceiver(one, webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverDirectionSendrecv)
	video := transceiver(one, webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverDirectionSendrecv)
	must(one.CreateDataChannel("lab", nil))
	exchange(one, other, "media", "media_answer")
	check(video.Stop())
	told["inactive"] = gathered(one, must(one.CreateOffer(nil))).SDP

	one = connection()
	transceiver(one, webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverDirectionRecvonly)
	transceiver(one, webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverDirectionRecvonly)
	told["recvonly"] = gathered(one, must(one.CreateOffer(nil))).SDP

	check(json.NewEncoder(os.Stdout).Encode(told))
}
