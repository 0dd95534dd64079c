"""Two peer connections in one process: connect, talk, restart, talk again."""

import time

from twisted.internet import defer, task

from refreeze.service import PeerHost


async def main(reactor):
    reactor.seconds = time.monotonic
    host = PeerHost(reactor, ["127.0.0.1"])
    alice, bob = host.RTCPeerConnection(), host.RTCPeerConnection()
    alice.createDataChannel("datagrams")
    alice.onicecandidate = lambda event: bob.addIceCandidate(event.candidate)
    bob.onicecandidate = lambda event: alice.addIceCandidate(event.candidate)
    bob.dtlsTransport.on_batch(lambda payloads: print(bob.connectionState, payloads))
    for word in (b"hello", b"hello again"):
        await alice.setLocalDescription(await alice.createOffer(iceRestart=True))
        await bob.setRemoteDescription(alice.localDescription)
        await bob.setLocalDescription()
        await alice.setRemoteDescription(bob.localDescription)
        while bob.connectionState != "connected" or not alice.dtlsTransport.send([word]):
            await task.deferLater(reactor, 0.01)
    await task.deferLater(reactor, 0.1)
    await host.close()


task.react(lambda reactor: defer.Deferred.fromCoroutine(main(reactor)))
