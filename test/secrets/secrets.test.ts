import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { azurite, freshContainer } from '../support/azure.js'
import { openFakeS3 } from '../support/s3-fake.js'
import { type Fault, openTap } from '../support/tap.js'
import { formsOf, type Secrets, withoutSpace } from './forms.js'

/** The process asks for a fault of its store, or has come to its end. */
type Told =
  | { readonly fault: { fault?: Fault; method?: string; end?: string } }
  | { readonly secrets: Secrets; readonly timesShown: number }

/**
 * All that may tell something of the library. Not Node's `http`, `net` and `stream`, which show what goes over the
 * wire: there it belongs.
 */
const loud = {
  NODE_DEBUG: 'acme*,azure*,cert*,child_process,fs,https,timer,tls,worker',
  DEBUG: '*',
  AZURE_LOG_LEVEL: 'verbose',
}

test('nothing that a process says, or has to show, has a private key or a credential in it', async () => {
  const { connect } = await freshContainer()
  const tap = await openTap(azurite().endpoint)
  const s3 = await openFakeS3()
  const child = fork(fileURLToPath(new URL('run.js', import.meta.url)), {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { PATH: process.env.PATH ?? '', ...loud },
  })
  const said = Promise.all([child.stdout, child.stderr].map((stream) => text(stream as Readable)))
  const exited = once(child, 'exit')
  try {
    child.send({
      start: {
        service: { ...connect, endpoint: tap.endpoint },
        s3: { endpoint: s3.endpoint, bucket: s3.bucket },
      },
    })
    const told = await Promise.race([untilDone(child, tap.fault), exited])
    if (!('secrets' in told)) throw new Error(`it ended with ${told}: ${(await said)[1]?.slice(-2_000)}`)
    child.disconnect()
    await exited
    const all = withoutSpace((await said).join('\n'))
    const forms = formsOf(told.secrets)
    expect(told.timesShown).toBeGreaterThan(300)
    expect(forms.length).toBeGreaterThan(500)
    expect(forms.filter((form) => all.includes(form))).toEqual([])
  } finally {
    child.kill('SIGKILL')
    await exited
    await tap.close()
    await s3.close()
  }
})

function untilDone(child: ChildProcess, setFault: Awaited<ReturnType<typeof openTap>>['fault']) {
  return new Promise<{ secrets: Secrets; timesShown: number }>((resolve) => {
    child.on('message', (told: Told) => {
      if ('secrets' in told) return resolve(told)
      const { fault, method = '', end = '' } = told.fault
      setFault((of, path) => (of.includes(method) && path.endsWith(end) ? fault : undefined))
      child.send({})
    })
  })
}
