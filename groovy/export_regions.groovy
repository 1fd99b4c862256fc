/**
 * Write the annotated areas of every image of the project as GeoJSON, one file an image.
 *
 * The files go to the folder "regions" in the project's folder (or another one, see below), named by the image's id and
 * name, as `her2qp export` names them. Points and lines are left out: they are no regions, and exporting lines fails
 * in some versions of QuPath. Images without an annotated area are passed over. Nothing in the project is changed.
 *
 * How to run it
 *  - In QuPath's window: open the project, then Automate > Script editor, open this file, Run (not "Run for project":
 *    it takes all images by itself). An open image is exported as you see it, saved or not.
 *  - From a terminal: QuPath script --project project.qpproj export_regions.groovy
 *    Another folder: add --args FOLDER. One image only: add --image NAME.
 *
 * QuPath 0.5 to 0.7.
 */

def project = getProject()
if (project == null) {
    println 'No project is open: this script exports the images of a project.'
    return
}
def folder = args ? new File(args[0]) : new File(project.path.parent.toFile(), 'regions')
if (!folder.isDirectory() && !folder.mkdirs())
    throw new IOException("The folder ${folder.absolutePath} cannot be made")

// From a terminal, and under "Run for project", QuPath calls this script once for each image
def current = getCurrentImageData()
def inWindow = getQuPath() != null && (current == null || getQuPath().getAllViewers().any { it.imageData.is(current) })
def entries = inWindow ? project.imageList : [getProjectEntry()]

def exported = 0
entries.each { entry ->
    def open = entry == getProjectEntry() ? current : null
    def hierarchy = open != null ? open.hierarchy : entry.hasImageData() ? entry.readHierarchy() : null
    def regions = hierarchy == null ? [] : hierarchy.getAnnotationObjects().findAll { it.ROI?.isArea() && !it.ROI.isEmpty() }
    if (regions.isEmpty()) {
        println "${entry.imageName}: no annotated area"
        return
    }
    def name = entry.imageName.replaceAll(/[\x00-\x1f<>:"\/\\|?*]+/, '_')
    def file = new File(folder, "${entry.ID}-${name}.geojson")
    exportObjectsToGeoJson(regions, file.absolutePath, 'FEATURE_COLLECTION')
    println "${entry.imageName}: ${regions.size()} regions in ${file.name}"
    exported++
}
println "${exported} of ${entries.size()} images exported to ${folder.absolutePath}"
