// The stories of an RTCPeerConnection of W3C's: in a page, or in Node with @roamhq/wrtc.
// It is the body of an asynchronous function that returns the texts by their names.
const told = {}
const ufrag = (description) => description && /a=ice-ufrag:(.*)/.exec(description.sdp)[1]
const gathered = async (pc, description) => {
  if (ufrag(description) === ufrag(pc.localDescription)) {
    await pc.setLocalDescription(description)
    return pc.localDescription
  }
  // Only the null candidate tells that this generation is done.
  const ended = new Promise((resolve) => pc.addEventListener('icecandidate', (event) => {
    if (!event.candidate) resolve()
  }))
  await pc.setLocalDescription(description)
  await ended
  return pc.localDescription
}
const exchanged = async (offerer, answerer, name, answerName) => {
  const offer = await gathered(offerer, await offerer.createOffer())
  told[name] = offer.sdp
  await answerer.setRemoteDescription(offer)
  const answer = await gathered(answerer, await answerer.createAnswer())
  if (answerName) told[answerName] = answer.sdp
  await offerer.setRemoteDescription(answer)
}
const connections = []
const made = () => {
  const pc = new RTCPeerConnection()
  connections.push(pc)
  return pc
}

let one = made()
let other = made()
one.createDataChannel('lab')
await exchanged(one, other, 'data', 'answer')
told.restart = (await gathered(one, await one.createOffer({ iceRestart: true }))).sdp

one = made()
one.createDataChannel('lab')
told.trickled = (await one.createOffer()).sdp

one = made()
other = made()
one.addTransceiver('audio', { direction: 'sendrecv' })
one.addTransceiver('video', {
  direction: 'sendrecv',
  sendEncodings: [{ rid: 'h' }, { rid: 'l', scaleResolutionDownBy: 4.0 }]
})
const second = one.addTransceiver('video', { direction: 'sendonly' })
one.createDataChannel('lab')
await exchanged(one, other, 'media', 'media_answer')
if (second.stop) {
  second.stop()
  await exchanged(one, other, 'stopped', null)
}

one = made()
one.addTransceiver('audio', { direction: 'recvonly' })
one.addTransceiver('video', { direction: 'recvonly' })
told.recvonly = (await gathered(one, await one.createOffer())).sdp

for (const pc of connections) pc.close()
return told
