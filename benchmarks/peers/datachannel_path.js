// Packets through forwarders around a data channel of libdatachannel, unordered and unreliable.
//
//     node datachannel_path.js PACKETS LENGTH MODULE
'use strict'
const dgram = require('node:dgram')

const total = Number(process.argv[2])
const length = Number(process.argv[3])
const { PeerConnection } = require(process.argv[4])
const HERE = '127.0.0.1'
const WINDOW = 32

const socket = () => new Promise((resolve) => {
  const made = dgram.createSocket({ type: 'udp4', recvBufferSize: 1 << 20 })
  made.bind(0, HERE, () => resolve(made))
})

async function main () {
  const [program, listen, into] = [await socket(), await socket(), await socket()]
  const one = new PeerConnection('one', { iceServers: [], bindAddress: HERE })
  const two = new PeerConnection('two', { iceServers: [], bindAddress: HERE })
  one.onLocalDescription((sdp, type) => two.setRemoteDescription(sdp, type))
  two.onLocalDescription((sdp, type) => one.setRemoteDescription(sdp, type))
  one.onLocalCandidate((candidate, mid) => two.addRemoteCandidate(candidate, mid))
  two.onLocalCandidate((candidate, mid) => one.addRemoteCandidate(candidate, mid))
  const delivered = dgram.createSocket('udp4')
  const kept = [] // a channel that nobody keeps is closed
  two.onDataChannel((channel) => {
    kept.push(channel)
    channel.onMessage((data) => delivered.send(data, into.address().port, HERE))
  })
  const channel = one.createDataChannel('lab', { unordered: true, maxRetransmits: 0 })
  await new Promise((resolve) => channel.onOpen(resolve))
  listen.on('message', (data) => channel.sendMessageBinary(data))
  const packet = Buffer.alloc(length, 0x80)
  let sent = 0
  let got = 0
  const fill = () => {
    while (sent < total && sent - got < WINDOW) {
      program.send(packet, listen.address().port, HERE)
      sent++
    }
  }
  const before = process.cpuUsage()
  const began = process.hrtime.bigint()
  await new Promise((resolve) => {
    into.on('message', () => {
      got++
      if (got >= total) resolve()
      fill()
    })
    fill()
  })
  const wall = Number(process.hrtime.bigint() - began) / 1000
  const used = process.cpuUsage(before)
  console.log(JSON.stringify({ cpu: (used.user + used.system) / total, wall: wall / total }))
  // Its threads may still call back into an engine that is going down, which aborts.
  process.kill(process.pid, 'SIGKILL')
}
main()
