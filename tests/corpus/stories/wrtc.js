// libwebrtc in Node: the stories of a browser. Its argument is where @roamhq/wrtc is installed.
'use strict'
const fs = require('node:fs')
const path = require('node:path')
const { RTCPeerConnection } = require(path.join(process.argv[2], 'node_modules', '@roamhq', 'wrtc'))

const body = fs.readFileSync(path.join(__dirname, 'browser.js'), 'utf8')
const AsyncFunction = (async () => {}).constructor
new AsyncFunction('RTCPeerConnection', body)(RTCPeerConnection).then((told) => {
  process.stdout.write(JSON.stringify(told), () => process.exit(0))
})
