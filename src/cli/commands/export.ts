import { resolve } from 'node:path'
import { type Command, textOf, UsageError } from '../console/arguments.js'
import { writePrivate } from '../console/files.js'
import { minuteOf } from '../console/format.js'
import { coversHost } from '../container/certificate-details.js'
import { connect } from '../container/connection.js'
import { targetFlags, targetOf } from '../flags/target.js'
import { requireCertificate } from './show.js'

export const exportCertificate: Command = {
  usage: 'export HOST --key FILE --chain FILE [flags]',
  summary: 'a host’s private key and chain, to files',
  details: `The files are replaced, with mode 0600. A certificate for another host, or outside its time, is written all the
same, with a note; one whose key does not match, or that can't be read, is refused, and the exit code is 1.`,
  operands: [1, 1],
  flags: {
    ...targetFlags,
    key: { value: 'FILE', help: 'where the private key goes; required' },
    chain: { value: 'FILE', help: 'where the chain goes, leaf first; required' },
  },
  async run(given, terminal) {
    const target = targetOf(given)
    const [keyFile, chainFile] = [textOf(given, 'key'), textOf(given, 'chain')]
    if (keyFile === undefined || chainFile === undefined) throw new UsageError('--key and --chain are needed')
    if (resolve(keyFile) === resolve(chainFile)) {
      throw new UsageError('--key and --chain are one file: show --with-key writes both into one')
    }
    const { bundle, facts } = await requireCertificate(await connect(given), target)
    await writePrivate({ file: keyFile, data: bundle.key }, { file: chainFile, data: bundle.chain })
    terminal.note(`${keyFile}: private key\n${chainFile}: chain`)
    if (!coversHost(facts, target.host)) {
      terminal.note(`not for ${target.host}: the certificate is for ${facts.names.join(', ') || 'no name'}`)
    }
    if (facts.notAfter <= Date.now()) terminal.note(`expired ${minuteOf(new Date(facts.notAfter))}`)
    if (facts.notBefore > Date.now()) terminal.note(`not valid before ${minuteOf(new Date(facts.notBefore))}`)
    return 0
  },
}
