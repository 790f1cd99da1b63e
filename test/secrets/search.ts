import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { azurite, freshContainer } from '../support/azure.js'
import { openFakeS3 } from '../support/s3-fake.js'
import { type Fault, openTap } from '../support/tap.js'
import { formsOf, type Secrets, withoutSpace } from './forms.js'

/** The process requests a fault of its store, or reports that it has finished. */
type Message =
  | { readonly fault: { fault?: Fault; method?: string; end?: string } }
  | { readonly secrets: Secrets; readonly timesShown: number }

/** Debug output of everything except Node's `http`, `net` and `stream`: they log what goes over the wire. */
const debugEnv = {
  NODE_DEBUG: 'acme*,azure*,cert*,child_process,fs,https,timer,tls,worker',
  DEBUG: '*',
  AZURE_LOG_LEVEL: 'verbose',
}

/** Runs run.js and searches its whole output for the secrets that it made. */
export async function findSecrets() {
  const { connect } = await freshContainer()
  const tap = await openTap(azurite().endpoint)
  const s3 = await openFakeS3()
  const child = fork(fileURLToPath(new URL('run.js', import.meta.url)), {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { PATH: process.env.PATH ?? '', ...debugEnv },
  })
  const output = Promise.all([child.stdout, child.stderr].map((stream) => text(stream as Readable)))
  const exited = once(child, 'exit')
  try {
    const service = { ...connect, endpoint: tap.endpoint }
    child.send({ start: { service, s3: { endpoint: s3.endpoint, bucket: s3.bucket } } })
    const result = await Promise.race([untilDone(child, tap.fault), exited])
    if (!('secrets' in result))
      throw new Error(`it ended with ${result}: ${(await output)[1]?.slice(-2_000)}`)
    child.disconnect()
    await exited
    const all = withoutSpace((await output).join('\n'))
    const forms = formsOf(result.secrets)
    expect(forms.filter((form) => all.includes(form))).toEqual([])
    return { timesShown: result.timesShown, forms: forms.length }
  } finally {
    child.kill('SIGKILL')
    await exited
    await tap.close()
    await s3.close()
  }
}

function untilDone(child: ChildProcess, setFault: Awaited<ReturnType<typeof openTap>>['fault']) {
  return new Promise<{ secrets: Secrets; timesShown: number }>((resolve) => {
    child.on('message', (message: Message) => {
      if ('secrets' in message) return resolve(message)
      const { fault, method = '', end = '' } = message.fault
      setFault((of, path) => (of.includes(method) && path.endsWith(end) ? fault : undefined))
      child.send({})
    })
  })
}
