/**
 * Bring a her2qp result (GeoJSON) into the open image. For those who exchange files instead of projects;
 * a result that `her2qp score` wrote into the project is already there.
 *
 * What it does
 *  - tiles: the tiles of an earlier her2qp result in this image are replaced by those of the file;
 *  - annotations of the file that the image has already (same id): only their measurements whose names begin with
 *    "HER2 " are taken over. Class, outline, name, lock and everything else stay as the pathologist left them;
 *  - other objects of the file are added.
 * The tiles are placed under the annotation that holds their centre. Running it twice changes nothing more.
 *
 * How to run it
 *  - In QuPath's window: open the image, then Automate > Script editor, open this file, Run. Choose the file
 *    (.geojson, .json, also compressed: .gz). Save the image afterwards.
 *  - From a terminal: QuPath script --project project.qpproj --image "slide 1.svs" --args result.geojson --save import_her2qp.groovy
 *
 * QuPath 0.5 to 0.7.
 */

import qupath.lib.io.PathIO

def prefix = 'HER2 '
def tileMeasurement = 'HER2 attention'

def hierarchy = getCurrentHierarchy()
if (hierarchy == null) {
    println 'No image is open: open the image that the result belongs to, and run this script again.'
    return
}
def file = args ? new File(args[0]) : getQuPath() == null ? null : promptForFile('.geojson', '.json', '.gz', '.zip')
if (file == null) {
    println 'No file was chosen. From a terminal, name it with --args FILE.'
    return
}
if (!file.isFile())
    throw new FileNotFoundException("There is no file ${file.absolutePath}")

def isOurTile = { it.isTile() && it.measurementList.containsKey(tileMeasurement) }
def found = PathIO.readObjects(file)

// Check everything before anything is changed
def server = getCurrentServer()
def outside = found.count { obj ->
    def roi = obj.ROI
    roi.boundsX + roi.boundsWidth < 0 || roi.boundsY + roi.boundsHeight < 0 || roi.boundsX > server.width || roi.boundsY > server.height
}
if (outside > 0)
    throw new IllegalArgumentException("${outside} of ${found.size()} objects lie outside the image: does the file belong to it? Nothing was imported.")

def present = hierarchy.getAllObjects(false).collectEntries { [it.ID, it] }
def replaced = hierarchy.getDetectionObjects().findAll { isOurTile(it) }
def replacedIds = replaced.collect { it.ID } as Set
def known = found.findAll { present.containsKey(it.ID) && !replacedIds.contains(it.ID) }
def fresh = found.findAll { !present.containsKey(it.ID) || replacedIds.contains(it.ID) }

hierarchy.removeObjects(replaced, true)
known.each { source ->
    def target = present[source.ID].measurementList
    source.measurements.each { name, value ->
        if (name.startsWith(prefix))
            target.put(name, value as double)
    }
}
hierarchy.addObjects(fresh.findAll { !it.isDetection() })
hierarchy.insertPathObjects(fresh.findAll { it.isDetection() })
fireHierarchyUpdate()

println "${file.name}: ${fresh.size()} objects added, ${replaced.size()} earlier tiles replaced, measurements of ${known.size()} known objects updated."
println 'Save the image (File > Save, or --save) to keep them.'
