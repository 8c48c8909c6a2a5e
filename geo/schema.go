package geo

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2/mmdbdata"

	"meridian/config"
)

// entry is the content of a database record in any schema. A missing value is empty or nil.
type entry struct {
	continent, country, subdivision, city string
	at                                    *config.Location
	radius                                int // in km: the uncertainty of at; 0: unknown
}

// schema reads records of one shape. Each file has one schema, detected when it is opened.
type schema func(maxminddb.Result) (entry, error)

// schemaCount is the number of known schemas.
const schemaCount = 2

// schemas lists the known schemas in the order of detection.
func schemas() [schemaCount]schema {
	return [schemaCount]schema{readNested, readFlat}
}

// recognize returns the index of the schema of db: the first one in which a record has a location.
func (a centroids) recognize(db *database, set *offsets) (index int, err error) {
	for i, s := range schemas() {
		found := false
		set.each(func(offset uint32) bool {
			if e, err := s(db.reader.LookupOffset(uintptr(offset))); err == nil {
				_, found = a.standing(e)
			}
			return !found
		})
		if found {
			return i, nil
		}
	}
	return 0, fmt.Errorf("has no country and no location for any network (its type is %q)", db.reader.Metadata.DatabaseType)
}

// nested is the shape of MaxMind's and DB-IP's City and Country files, reduced to the needed fields. geoip2.City has
// names in eight languages, and decoding them would dominate the compile time of a database.
type nested struct {
	Continent struct {
		Code string `maxminddb:"code"`
	} `maxminddb:"continent"`
	Country struct {
		ISOCode string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	Subdivisions []struct {
		ISOCode string `maxminddb:"iso_code"`
	} `maxminddb:"subdivisions"`
	City struct {
		Names struct {
			English string `maxminddb:"en"`
		} `maxminddb:"names"`
	} `maxminddb:"city"`
	Location struct {
		Latitude  *float64 `maxminddb:"latitude"`
		Longitude *float64 `maxminddb:"longitude"`
		Radius    radius   `maxminddb:"accuracy_radius"`
	} `maxminddb:"location"`
}

func readNested(res maxminddb.Result) (entry, error) {
	var r nested
	if err := res.Decode(&r); err != nil {
		return entry{}, err
	}
	e := entry{
		continent: strings.ToUpper(r.Continent.Code),
		country:   strings.ToUpper(r.Country.ISOCode),
		city:      r.City.Names.English,
	}
	if len(r.Subdivisions) > 0 && r.Subdivisions[0].ISOCode != "" {
		e.subdivision = e.country + "-" + strings.ToUpper(r.Subdivisions[0].ISOCode)
	}
	if lat, lon := r.Location.Latitude, r.Location.Longitude; lat != nil && lon != nil {
		e.at, e.radius = validLocation(*lat, *lon), int(r.Location.Radius)
	}
	return e, nil
}

// flat is the shape of the files of ip-location-db. They have the name of a state but no code.
type flat struct {
	Country   string  `maxminddb:"country_code"`
	City      string  `maxminddb:"city"`
	Latitude  degrees `maxminddb:"latitude"`
	Longitude degrees `maxminddb:"longitude"`
}

func readFlat(res maxminddb.Result) (entry, error) {
	r := flat{Latitude: missingDegrees(), Longitude: missingDegrees()}
	if err := res.Decode(&r); err != nil {
		return entry{}, err
	}
	return entry{
		country: strings.ToUpper(r.Country),
		city:    r.City,
		at:      validLocation(float64(r.Latitude), float64(r.Longitude)),
	}, nil
}

// validLocation returns the location, or nil if it is not on Earth or is 0,0. Real files use 0,0 (open sea) for
// "unknown".
func validLocation(lat, lon float64) *config.Location {
	if !(math.Abs(lat) <= 90 && math.Abs(lon) <= 180) || lat == 0 && lon == 0 {
		return nil
	}
	return &config.Location{Lat: lat, Lon: lon}
}

// degrees is a number that some files write as a string. A missing number is NaN.
type degrees float64

func missingDegrees() degrees { return degrees(math.NaN()) }

// UnmarshalMaxMindDBCursor implements [mmdbdata.CursorUnmarshaler].
func (d *degrees) UnmarshalMaxMindDBCursor(c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	kind, err := c.Kind()
	if err != nil {
		return mmdbdata.Cursor{}, err
	}
	if kind != mmdbdata.KindString {
		v, next, err := c.ReadFloat()
		*d = degrees(v)
		return next, mmdbdata.NormalizeUnmarshalError[degrees](err)
	}
	s, next, err := c.ReadString()
	if err != nil {
		return mmdbdata.Cursor{}, err
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		v = math.NaN() // usually an empty string
	}
	*d = degrees(v)
	return next, nil
}

// radius is an accuracy radius in kilometres; 0 where it is missing or not a number.
// A file with a radius of an odd type is still useful.
type radius int

// maxRadius is larger than any radius on Earth, and fits any int.
const maxRadius = 1 << 30

// UnmarshalMaxMindDBCursor implements [mmdbdata.CursorUnmarshaler].
func (r *radius) UnmarshalMaxMindDBCursor(c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	kind, err := c.Kind()
	if err != nil {
		return mmdbdata.Cursor{}, err
	}
	switch kind {
	case mmdbdata.KindUint16, mmdbdata.KindUint32, mmdbdata.KindUint64:
		v, next, err := c.ReadUint()
		*r = radius(min(v, maxRadius))
		return next, mmdbdata.NormalizeUnmarshalError[radius](err)
	case mmdbdata.KindFloat64, mmdbdata.KindFloat32:
		v, next, err := c.ReadFloat()
		if v > 0 {
			*r = radius(math.Ceil(min(v, maxRadius)))
		}
		return next, mmdbdata.NormalizeUnmarshalError[radius](err)
	}
	return c.Skip()
}
