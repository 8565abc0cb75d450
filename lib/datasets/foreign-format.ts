/** What a file is that was given as another: its first bytes say so. */

interface ForeignFormat {
  /** "an Excel workbook" */
  readonly what: string
  readonly cure: string
}

const asCsv = 'Save the sheet as CSV.'
const fromTable = 'Write it as .csv (`to_csv(index=False)`) or .npy.'
const unpack = 'Unpack it first.'
const image = 'Pictures are for the data set "image-folder".'

/** The longest beginning first where one begins another. */
const beginnings: readonly (readonly [start: string, ForeignFormat])[] = [
  ['\x1f\x8b', { what: 'compressed by gzip', cure: 'Unpack it first, with gunzip.' }],
  ['BZh', { what: 'compressed by bzip2', cure: unpack }],
  ['\xfd7zXZ', { what: 'compressed by xz', cure: unpack }],
  ['\x28\xb5\x2f\xfd', { what: 'compressed by zstd', cure: unpack }],
  ['7z\xbc\xaf', { what: 'a 7z archive', cure: unpack }],
  [
    'PK\x03\x04',
    {
      what: 'a zip archive (.xlsx, .ods and .npz are such)',
      cure: `${asCsv} Of an .npz, save one array with \`numpy.save\`.`,
    },
  ],
  ['\xd0\xcf\x11\xe0', { what: 'an Excel workbook (.xls)', cure: asCsv }],
  ['PAR1', { what: 'a Parquet file', cure: fromTable }],
  ['ARROW1', { what: 'an Arrow (Feather) file', cure: fromTable }],
  ['FEA1', { what: 'a Feather file', cure: fromTable }],
  ['\x89HDF', { what: 'an HDF5 file', cure: fromTable }],
  ['SQLite format 3', { what: 'an SQLite database', cure: fromTable }],
  ['\x93NUMPY', { what: 'a NumPy array', cure: 'Give it a name that ends in .npy.' }],
  ['\x80\x02', { what: 'a pickle', cure: fromTable }],
  ['\x80\x03', { what: 'a pickle', cure: fromTable }],
  ['\x80\x04', { what: 'a pickle', cure: fromTable }],
  ['\x80\x05', { what: 'a pickle', cure: fromTable }],
  ['\x89PNG', { what: 'a PNG picture', cure: image }],
  ['\xff\xd8\xff', { what: 'a JPEG picture', cure: image }],
  ['GIF8', { what: 'a GIF picture', cure: image }],
  ['%PDF', { what: 'a PDF document', cure: 'Write the table as .csv.' }],
  ['version https://git-lfs', { what: 'a Git LFS pointer, not the file itself', cure: 'Run `git lfs pull`.' }],
]

/** Of text: what its first character that is not blank begins. */
const texts: readonly (readonly [start: RegExp, ForeignFormat])[] = [
  [
    /^\s*<(!doctype|html|\?xml|head|body)/i,
    { what: 'a web page or XML', cure: 'Fetch the file itself: an error page may have been saved in its place.' },
  ],
  [/^\s*(\{|\[\s*[[{\d"-])/, { what: 'JSON', cure: 'Write it as .csv: a line for each row.' }],
]

/** Undefined where nothing is recognised. @param start some 1024 bytes. */
export function foreignFormat(start: Uint8Array): ForeignFormat | undefined {
  const text = Buffer.from(start.buffer, start.byteOffset, start.byteLength).toString('latin1')
  return (
    beginnings.find(([beginning]) => text.startsWith(beginning))?.[1] ??
    texts.find(([pattern]) => pattern.test(text.replace(/^\xef\xbb\xbf/, '')))?.[1]
  )
}
